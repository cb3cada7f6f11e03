"""What the local engine needs of this machine, checked without torch."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from tau_retail_env.chain.kept import not_kept
from tau_retail_env.config.machine import folder_problems, has_gpu, is_path, length_problems
from tau_retail_env.errors import InvalidValueError, MissingDependencyError
from tau_retail_env.local.config.grpo import LocalConfig
from tau_retail_env.local.config.sft import SCRATCH, SftConfig
from tau_retail_env.models.hub import on_disk_or_hub
from tau_retail_env.models.shipped import checkpoint
from tau_retail_env.runs.trackers import check_tracker

PACKAGES = ("torch", "transformers", "trl", "accelerate", "datasets", "matplotlib", "tensorboard")
"""What a run imports, the last ones only when hours have passed."""


def machine_problems(
    config: LocalConfig | SftConfig, *, starts: bool = False, is_printed: bool = False
) -> Iterator[str]:
    """What a run would miss on this machine, as far as it can be told before the model is loaded.

    Args:
        config: the run.
        starts: whether this Python starts it now, so that packages, kept episodes and the hub's models must be there.
        is_printed: whether it is only shown, for another machine perhaps, so that GPU and compiler do not matter.
    """
    path, role = (
        ("actor_train", config.actor_train) if isinstance(config, LocalConfig) else ("sft_train", config.sft_train)
    )
    yield from folder_problems(config)
    yield from length_problems(checkpoint(config.pretrain), config.sequence_length)
    if role.model_args.dtype == "bf16" and not is_printed and not has_gpu():
        key = f"{path}.model_args.dtype"
        yield f"{key}: bf16 needs a GPU, and none is visible; use {key}=fp32"
    if isinstance(config, SftConfig):
        yield from _tuning_problems(config, starts=starts, is_printed=is_printed)
    try:
        check_tracker(config.track_with)
    except MissingDependencyError as error:
        yield str(error)
    if starts:
        yield from _missing(config)


def _tuning_problems(config: SftConfig, *, starts: bool, is_printed: bool) -> Iterator[str]:
    """What only fine-tuning needs."""
    if config.tokenizer is not None and is_path(config.tokenizer) and not Path(config.tokenizer).expanduser().is_dir():
        yield (
            f"tokenizer: there is no folder {config.tokenizer}; give the folder of a tokenizer, or tokenizer=null and "
            "vocab_size for one that is learnt from conversations"
        )
    if config.sft_train.torch_compile and not is_printed and (lacking := _lacks_to_compile()):
        yield f"sft_train.torch_compile: needs {lacking}; install it, or use sft_train.torch_compile=false"
    kept = config.conversations.kept
    if starts and kept is not None and (reason := not_kept(Path(kept).expanduser())):
        yield reason


def _missing(config: LocalConfig | SftConfig) -> Iterator[str]:
    """Packages and models that are not here."""
    if missing := [name for name in PACKAGES if importlib.util.find_spec(name) is None]:
        yield (
            f"engine: local needs {', '.join(missing)}, which this Python does not have; "
            "./run_tau_retail_pipeline.sh --setup-only makes one that has (.venv), pip install '.[train]' brings them"
        )
    if config.pretrain == SCRATCH or is_path(config.pretrain) or importlib.util.find_spec("huggingface_hub") is None:
        return
    try:
        on_disk_or_hub(checkpoint(config.pretrain))
    except InvalidValueError as error:
        yield str(error)


def _lacks_to_compile() -> str | None:
    """What torch.compile would miss: Triton's C compiler for a GPU, a C++ one for the processor; Python's headers."""
    language, variable, usual = ("C", "CC", ("gcc", "clang")) if has_gpu() else ("C++", "CXX", ("g++",))
    named = os.environ.get(variable)
    if not any(shutil.which(name) for name in ((named,) if named else usual)):
        where = f"{variable} names {named}" if named else f"neither {variable} nor {' or '.join(usual)} is one"
        return f"a {language} compiler, and none is here ({where})"
    headers = Path(sysconfig.get_path("include"))
    return (
        None if (headers / "Python.h").is_file() else f"Python's headers, and {headers} has no Python.h (python3-dev)"
    )
