"""The checkpoints of a run's folder: what they are called, and which there are."""

from __future__ import annotations

import re
from pathlib import Path

NAME = "checkpoint-{step}"
PATTERN = re.compile(r"checkpoint-(\d+)")


def step_of(checkpoint: Path) -> int | None:
    """The step after which a checkpoint was saved, as its engine counts; None for a folder of another name."""
    found = PATTERN.fullmatch(checkpoint.name)
    return int(found[1]) if found else None


def checkpoints_in(folder: Path) -> list[tuple[int, Path]]:
    """Steps and folders of all checkpoints, oldest first."""
    found = ((step_of(path), path) for path in (folder.iterdir() if folder.is_dir() else ()))
    return sorted((step, path) for step, path in found if step is not None)
