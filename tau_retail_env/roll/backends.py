"""The Python packages that ROLL's strategies import, looked for without importing them."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from types import MappingProxyType

from tau_retail_env.roll.config.package import REPOSITORY


@dataclass(frozen=True, slots=True)
class Needed:
    """A package that a strategy imports as soon as its worker starts."""

    module: str
    """The module that is looked for."""
    package: str
    """The package that has it."""
    remedy: str
    """What brings it; {commit} stands for ROLL's commit."""


VLLM = Needed(
    "vllm",
    "vllm",
    "install requirements-roll.txt, which pins the version that ran here; for train=deepspeed "
    "TAU_RETAIL_UNPROVEN=1 ./run_tau_retail_pipeline.sh makes .venv-roll-deepspeed, with that of ROLL v0.2.1's own "
    "requirement files",
)
SGLANG = Needed(
    "sglang",
    "sglang",
    "choose infer=vllm, or start the run by TAU_RETAIL_UNPROVEN=1 ./run_tau_retail_pipeline.sh, which makes "
    ".venv-roll-sglang for it (requirements-roll-sglang.txt: SGLang 0.5.7 wants another torch than "
    "requirements-roll.txt)",
)
MADE_FOR_MEGATRON = "./run_tau_retail_pipeline.sh makes .venv-roll-megatron with it for train=megatron; here"
MEGATRON = Needed(
    "megatron.core.transformer.moe.router_replay",
    "megatron-core 0.16",
    f"{MADE_FOR_MEGATRON} pip install 'megatron-core>=0.16,<0.17'",
)
ADAPTER = Needed(
    "mcore_adapter",
    "mcore_adapter, a folder of ROLL's own repository",
    f"{MADE_FOR_MEGATRON} pip install 'mcore_adapter @ {REPOSITORY}@{{commit}}#subdirectory=mcore_adapter'",
)
DEEPSPEED = Needed(
    "deepspeed",
    "deepspeed",
    "TAU_RETAIL_UNPROVEN=1 ./run_tau_retail_pipeline.sh makes .venv-roll-deepspeed for train=deepspeed; here "
    "pip install deepspeed==0.16.4, which ROLL v0.2.1's own requirement files name",
)
NEEDED: Mapping[str, tuple[Needed, ...]] = MappingProxyType(
    {
        "vllm": (VLLM,),
        "sglang": (SGLANG,),
        "megatron_train": (MEGATRON, ADAPTER),
        "megatron_infer": (MEGATRON, ADAPTER),
        "deepspeed_train": (DEEPSPEED,),
        "deepspeed_infer": (DEEPSPEED,),
    }
)
"""By strategy: what ROLL's file of it imports at its top. FSDP2 needs nothing that ROLL itself does not."""


def missing_packages(strategies: Sequence[str], folder: Path, commit: str) -> list[str]:
    """What the strategies of a run import and this Python cannot, each with what brings it.

    Args:
        strategies: names of the strategies that the roles have.
        folder: ROLL's package.
        commit: the commit of ROLL that the run is for.
    """
    return [*_missing(strategies, commit), *(_wrong_sglang(folder) if "sglang" in strategies else ())]


def is_importable(module: str) -> bool:
    """Whether Python would find a module; neither it nor a package around it is imported.

    A mere folder of that name is none: ROLL's checkout has a folder mcore_adapter.

    Args:
        module: its full name.
    """
    top, *inner = module.split(".")
    found = (finder.find_spec(top, None) for finder in sys.meta_path)  # whatever has been imported under that name
    spec, path = next((spec for spec in found if spec is not None), None), top
    for name in inner:
        if spec is None or spec.submodule_search_locations is None:
            return False
        path = f"{path}.{name}"
        spec = PathFinder.find_spec(path, list(spec.submodule_search_locations))
    return spec is not None and spec.origin is not None


def _missing(strategies: Sequence[str], commit: str) -> Iterator[str]:
    wanted = dict.fromkeys(needed for strategy in strategies for needed in NEEDED.get(strategy, ()))
    for needed in wanted:
        if not is_importable(needed.module):
            roles = " and ".join(_role(name) for name in strategies if needed in NEEDED.get(name, ()))
            yield (
                f"{roles}: {needed.package} is not installed (no module {needed.module}): "
                f"{needed.remedy.format(commit=commit)}."
            )


def _role(strategy: str) -> str:
    """Who has a strategy, by the rules of `roll/config/rules.py`, with its name."""
    if strategy in ("vllm", "sglang"):
        role = "actor_infer"
    elif strategy.endswith("_infer"):
        role = "reference"
    else:
        role = "actor_train" if strategy.startswith("megatron") else "actor_train or critic"
    return f"{role} with strategy_name {strategy}"


def _wrong_sglang(folder: Path) -> Iterator[str]:
    """ROLL patches SGLang and stops at a version that it has no patch for."""
    patches = folder / "third_party" / "sglang" / "__init__.py"
    known = re.findall(r"'(\d[\w.]*)'", patches.read_text(encoding="utf-8")) if patches.is_file() else []
    try:
        version = importlib.metadata.version("sglang")
    except importlib.metadata.PackageNotFoundError:
        return
    if known and version not in known:
        yield (
            f"{_role('sglang')}: found sglang {version}, but this ROLL works with {', '.join(known)} alone: "
            "install one of these, or choose infer=vllm."
        )
