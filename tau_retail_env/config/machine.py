"""Whether this machine has what a configuration names, as far as can be seen without loading anything."""

from __future__ import annotations

import json
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
    if is_path(pretrain) and not Path(pretrain).is_dir():
        yield (
            f"pretrain: there is no folder {pretrain}; give the folder of a model, small, or a name "
            "of Hugging Face such as Qwen/Qwen2.5-0.5B-Instruct"
        )


def length_problems(pretrain: str, sequence_length: int) -> Iterator[str]:
    """Whether the episodes are longer than a model reads, as far as its config.json says so by itself.

    Args:
        pretrain: a folder; of a Hugging Face name nothing is known here.
        sequence_length: tokens of an episode at most.
    """
    try:
        model = json.loads((Path(pretrain).expanduser() / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return  # loading it says what is wrong with it
    text = model.get("text_config") or model if isinstance(model, dict) else {}
    longest = text.get("max_position_embeddings")
    is_stretched = bool(text.get("rope_scaling") or (text.get("rope_parameters") or {}).get("factor"))
    if isinstance(longest, int) and not is_stretched and sequence_length > longest:
        yield (
            f"sequence_length: found {sequence_length}, but {pretrain!r} reads {longest} tokens at most "
            f"(max_position_embeddings in its config.json): use sequence_length={longest} or less, or another model"
        )


def has_gpu(devices: Path = Path("/dev")) -> bool:
    """Whether a GPU is visible; torch, which knows for certain, takes seconds to import.

    Args:
        devices: the folder of the machine's devices.
    """
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return False
    return any(next(devices.glob(pattern), None) for pattern in GPU_FILES)


def is_path(name: str) -> bool:
    """Whether it can only be a folder: a Hugging Face name has one slash at most and begins with a letter or digit."""
    return name.count("/") > 1 or name.startswith(("/", ".", "~"))
