"""Checkpoints that are either complete or not there."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

from tau_retail_env.errors import InvalidValueError, TauRetailError
from tau_retail_env.models.checks import check_files
from tau_retail_env.runs.checkpoints import NAME, checkpoints_in, flush, write_manifest

_BYTES_PER_WEIGHT = 4
_CHECKPOINT = 3 * _BYTES_PER_WEIGHT
"""Bytes by weight of a checkpoint: the weight and AdamW's two moments, each in fp32."""
_REQUIRED = ("config.json", "optimizer.pt", "scheduler.pt", "trainer_state.json")
"""Files of every checkpoint, beside the weights."""


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
        write_manifest(partial)
        flush(partial)
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
    except Exception as error:  # what a full disk raises differs from library to library
        shutil.rmtree(partial, ignore_errors=True)
        raise CheckpointError(_failure(folder, final, error)) from error
    for _, path in checkpoints_in(folder)[: -keep if keep else 0]:
        _remove(path)
    return final


def damage_without_manifest(path: Path) -> str | None:
    """What is wrong with a checkpoint of an earlier version of this package, as far as its files tell by themselves."""
    for name in _REQUIRED:
        if not (path / name).is_file():
            return f"{name} is missing"
        if name.endswith(".pt") and not zipfile.is_zipfile(path / name):
            return f"{name} is not whole"
    if not any(path.glob("*.safetensors")):
        return "its weights are missing"
    try:
        check_files(path)
    except InvalidValueError as error:
        return str(error)
    return None


def check_space(folder: Path, num_weights: int, *, keep: int) -> None:
    """Refuse to start where the checkpoints would not fit.

    Args:
        folder: an existing folder on the disk in question.
        num_weights: parameters of the model.
        keep: newest checkpoints that stay; one more is there while the next is written.

    Raises:
        InvalidValueError: too little free space.
    """
    best = 2 * num_weights * _BYTES_PER_WEIGHT  # the weights of the best validation, and those that replace them
    needed = (max(keep, 1) + 1) * num_weights * _CHECKPOINT + best
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InvalidValueError(
            f"No disk space for checkpoints in {folder}: {_megabytes(needed)} needed for {max(keep, 1) + 1} of them "
            f"and the best weights, {_megabytes(free)} free. Free some, or write elsewhere with output_dir=FOLDER"
        )


def _failure(folder: Path, final: Path, error: Exception) -> str:
    earlier = checkpoints_in(folder)
    free = _megabytes(shutil.disk_usage(folder).free) if folder.is_dir() else "an unknown number of megabytes"
    kept = f"{earlier[-1][1]} is intact: go on from it with resume=true" if earlier else "there is none before it"
    return f"The checkpoint {final} could not be written ({error}; {free} free on its disk). {kept}"


def _megabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:,.0f} MB"


def _remove(path: Path) -> None:
    """Take the name away first, so that a half-removed checkpoint is never taken for a complete one."""
    hidden = path.with_name(f".{path.name}.removed")
    path.rename(hidden)
    shutil.rmtree(hidden, ignore_errors=True)
