"""Checkpoints that are either complete or not there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from tau_retail_env.errors import InvalidValueError, TauRetailError
from tau_retail_env.runs.checkpoints import NAME, checkpoints_in

_BYTES_PER_WEIGHT = 3 * 4
"""A weight and AdamW's two moments, each in fp32."""


class CheckpointError(TauRetailError, OSError):
    """A checkpoint that could not be written; those before it are untouched."""


def save(folder: Path, step: int, write: Callable[[Path], None], *, keep: int) -> Path:
    """Write a checkpoint beside its final name, then rename it: no reader ever sees half of one.

    Args:
        folder: where the run's checkpoints lie.
        step: the step after which the checkpoint is taken.
        write: fills the folder that it is given.
        keep: newest checkpoints that stay; 0 keeps all.

    Returns:
        The checkpoint's folder.

    Raises:
        CheckpointError: it could not be written.
    """
    final = folder / NAME.format(step=step)
    partial = folder / f".{final.name}.partial"
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        write(partial)
        _flush(partial)
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
    except Exception as error:  # what a full disk raises differs from library to library
        shutil.rmtree(partial, ignore_errors=True)
        raise CheckpointError(_failure(folder, final, error)) from error
    for _, path in checkpoints_in(folder)[: -keep if keep else 0]:
        _remove(path)
    return final


def remove_leftovers(folder: Path) -> None:
    """Remove what an interrupted run had begun to write or to remove."""
    if folder.is_dir():
        for path in folder.glob(".checkpoint-*"):
            shutil.rmtree(path, ignore_errors=True)


def check_space(folder: Path, num_weights: int, *, keep: int) -> None:
    """Refuse to start where the checkpoints would not fit.

    Args:
        folder: an existing folder on the disk in question.
        num_weights: parameters of the model.
        keep: newest checkpoints that stay; one more is there while the next is written.

    Raises:
        InvalidValueError: too little free space.
    """
    needed = (max(keep, 1) + 1) * num_weights * _BYTES_PER_WEIGHT
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InvalidValueError(
            f"No disk space for checkpoints in {folder}: {_megabytes(needed)} needed for {max(keep, 1) + 1} of them, "
            f"{_megabytes(free)} free. Free some, or write elsewhere with output_dir=FOLDER"
        )


def _failure(folder: Path, final: Path, error: Exception) -> str:
    earlier = checkpoints_in(folder)
    free = _megabytes(shutil.disk_usage(folder).free) if folder.is_dir() else "an unknown number of megabytes"
    kept = f"{earlier[-1][1]} is intact: go on from it with resume=true" if earlier else "there is none before it"
    return f"The checkpoint {final} could not be written ({error}; {free} free on its disk). {kept}"


def _megabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:,.0f} MB"


def _flush(folder: Path) -> None:
    """Hand every file to the disk before the rename makes the checkpoint visible."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def _remove(path: Path) -> None:
    """Take the name away first, so that a half-removed checkpoint is never taken for a complete one."""
    hidden = path.with_name(f".{path.name}.removed")
    path.rename(hidden)
    shutil.rmtree(hidden, ignore_errors=True)
