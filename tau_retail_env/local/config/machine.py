"""What the local engine needs of this machine, checked without torch."""

from __future__ import annotations

import os
import shutil

from tau_retail_env.blocks import raise_if
from tau_retail_env.config.machine import folder_problems, has_gpu, length_problems
from tau_retail_env.local.config.grpo import LocalConfig
from tau_retail_env.local.config.sft import SftConfig
from tau_retail_env.models.shipped import checkpoint
from tau_retail_env.runs.trackers import check_tracker


def check_machine(config: LocalConfig | SftConfig) -> None:
    """Refuse what a run would refuse on this machine before it loads the model.

    Args:
        config: as checked.

    Raises:
        InvalidValueError: a folder that is not there, bf16 without a GPU, torch_compile without a C compiler.
        MissingDependencyError: a tracker that is not installed.
    """
    path, role = (
        ("actor_train", config.actor_train) if isinstance(config, LocalConfig) else ("sft_train", config.sft_train)
    )
    problems = [*folder_problems(config), *length_problems(checkpoint(config.pretrain), config.sequence_length)]
    if role.model_args.dtype == "bf16" and not has_gpu():
        key = f"{path}.model_args.dtype"
        problems.append(f"{key}: bf16 needs a GPU, and none is visible; use {key}=fp32")
    if isinstance(config, SftConfig) and config.sft_train.torch_compile and not _compilers():
        problems.append(
            "sft_train.torch_compile: needs a C compiler, and none is here (gcc, clang, or what CC names); install "
            "one, or use sft_train.torch_compile=false"
        )
    raise_if(problems)
    check_tracker(config.track_with)


def _compilers() -> list[str]:
    """The C compilers that are here, of those that torch looks for."""
    return [name for name in (os.environ.get("CC"), "gcc", "clang", "cc") if name and shutil.which(name)]
