"""Whether this machine has what a configuration names, as far as can be told without loading anything."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from tau_retail_env.config.run import RunConfig

GPU_FILES = ("nvidia[0-9]*", "kfd", "dxg")
"""What a GPU that torch can use has among the devices: NVIDIA's, AMD's, either under WSL."""


def folder_problems(config: RunConfig) -> Iterator[str]:
    """Folders that a configuration names and that are not there."""
    yield from pretrain_problems(config.pretrain)
    if isinstance(config.resume, str) and not (run := Path(config.resume).expanduser().resolve()).is_dir():
        yield f"resume: there is no folder {run}; give the folder of a run, or resume=true for the newest one"


def pretrain_problems(pretrain: str) -> Iterator[str]:
    """Whether the folder of a model is there; a Hugging Face name is looked up by whoever loads it."""
    if _is_path(pretrain) and not Path(pretrain).is_dir():
        yield (
            f"pretrain: there is no folder {pretrain}; give the folder of a model, small, or a name "
            "of Hugging Face such as Qwen/Qwen2.5-0.5B-Instruct"
        )


def has_gpu(devices: Path = Path("/dev")) -> bool:
    """Whether a GPU is visible; torch, which knows for certain, takes seconds to import.

    Args:
        devices: the folder of the machine's devices.
    """
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return False
    return any(next(devices.glob(pattern), None) for pattern in GPU_FILES)


def _is_path(pretrain: str) -> bool:
    """Whether it can only be a folder: a Hugging Face name has one slash at most and begins with a letter or digit."""
    return pretrain.count("/") > 1 or pretrain.startswith(("/", ".", "~"))
