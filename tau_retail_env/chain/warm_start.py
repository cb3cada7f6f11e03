"""What comes before a run with ROLL: the first stages of a chain, made once for the same inputs and taken again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tau_retail_env.chain import run
from tau_retail_env.chain.plan import Check, plan
from tau_retail_env.chain.settings import read_chain
from tau_retail_env.config import compose
from tau_retail_env.runs.folder_lock import is_unused
from tau_retail_env.runs.interruption import say as say_line

CHAIN = "tau_retail_pipeline"
"""The configuration whose first stages are run."""
STAGES: Mapping[str, tuple[str, ...]] = MappingProxyType({"sft": ("sft",), "sft+rft": ("sft", "samples", "rft")})
"""By value of `warm_start`, the names of these stages."""
FOLDER = Path("outputs") / "warm_start"
"""Where they lie, each chain under the digest of what it is made from."""
NONE = "none"
V1 = "tau_bench"
WITHOUT_V1: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "sft": {"conversations": {"mixture": {"v1_train": 0}}},
        "samples": {"play": {"sets": {"v1_train": None}}},
        "rft": {"conversations": {"mixture": {"v1_train": 0}}},
    }
)
"""What the stages leave out where the run itself does without τ-bench v1."""


def warm_started(
    values: Mapping[str, Any], check: Check, *, min_success: float, say: Callable[[str], None] = say_line
) -> dict[str, Any]:
    """The configuration of a run that begins with the weights which its warm start makes, or has made before.

    Args:
        values: the run's configuration as composed, with a `warm_start`.
        check: checks a stage's configuration.
        min_success: the run's, with its default.
        say: takes each line for the screen.

    Returns:
        The configuration with these weights as `pretrain`, and `warm_start: none`, as the run's folder keeps it.

    Raises:
        TauRetailError: what the chain needs is not here, or a stage failed. The same command resumes it.
    """
    settings = _chain(values)
    config = read_chain(settings)
    planned = plan(config, check)
    folder = FOLDER / planned[-1].inputs.key
    say(f"[tau-retail] warm_start {values['warm_start']}: {folder}")
    resumes = not is_unused(folder)
    config = config.model_copy(update={"output_dir": str(folder), "resume": resumes})
    weights = str(run.run(config, planned, {**settings, "output_dir": str(folder)}, say=say))
    reward = {"reward_pretrain": weights} if values.get("reward_pretrain") == values["pretrain"] else {}
    return {**values, "pretrain": weights, **reward, "warm_start": NONE, "min_success": min_success}


def _chain(values: Mapping[str, Any]) -> dict[str, Any]:
    """The first stages of the chain, for the run's model and prompt."""
    settings = compose(CHAIN)
    names = STAGES[values["warm_start"]]
    stages = {name: settings["stages"][name] for name in names}
    if values["task_source"] != V1:
        stages = {name: {**stage, "set": _merged(stage["set"], WITHOUT_V1[name])} for name, stage in stages.items()}
    shared = {
        **settings["shared"],
        "prompt_style": values["prompt_style"],
        "sequence_length": values["sequence_length"],
    }
    return {**settings, "pretrain": values["pretrain"], "seed": values["seed"], "shared": shared, "stages": stages}


def _merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Nested keys of both; where both have a value the second one's."""
    both = {
        name: _merged(first[name], value)
        if isinstance(value, Mapping) and isinstance(first.get(name), Mapping)
        else value
        for name, value in second.items()
    }
    return {**first, **both}
