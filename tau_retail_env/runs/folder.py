"""Which folder a run writes to, on both engines: a new one of its own, or that of the run it goes on with."""

from __future__ import annotations

import glob
from pathlib import Path

import yaml

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.runs.folder_lock import FolderLock, is_unused

CONFIG = "config.yaml"
"""The file of a run's folder with the configuration that it was begun with."""


def lock_new(path: Path) -> FolderLock:
    """Make a folder for a new run and lock it.

    Raises:
        InvalidValueError: it holds something, another process writes to it, or it cannot be made.
    """
    if not is_unused(path) and not (path / CONFIG).is_file():
        raise _is_taken(path)
    lock = FolderLock(path)
    if not is_unused(path):
        lock.release()
        raise _is_taken(path)
    return lock


def newest_run(name: str, beside: Path) -> Path:
    """The run of an experiment that was begun last.

    Args:
        name: the experiment's `exp_name`.
        beside: the folder that a new run of it would have.

    Raises:
        InvalidValueError: there is none.
    """
    begun = [folder / CONFIG for folder in beside.parent.glob(f"{glob.escape(name)}*") if (folder / CONFIG).is_file()]
    for file in sorted(begun, key=lambda file: file.stat().st_mtime, reverse=True):
        stored = yaml.safe_load(file.read_text(encoding="utf-8"))
        if isinstance(stored, dict) and stored.get("exp_name") == name:
            return file.parent
    raise InvalidValueError(
        f"resume: there is no run of {name!r} in {beside.parent}; leave out resume=true to start one, "
        "or give a run's folder: resume=FOLDER"
    )


def _is_taken(path: Path) -> InvalidValueError:
    another = "ive another: output_dir=FOLDER or exp_name=NAME"
    if (path / CONFIG).is_file():
        return InvalidValueError(
            f"output_dir {path} is not empty: it already holds a run. Go on with it by resume=true, or g{another}"
        )
    found = "already holds files of something else" if path.is_dir() else "already is a file of that name"
    return InvalidValueError(f"output_dir {path} {found}. G{another}")
