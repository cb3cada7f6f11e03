"""The checkpoints of a run's folder: which there are, whether one is whole by its manifest, and the best one."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tau_retail_env.runs.files import WriteError, write_atomically, writing

NAME = "checkpoint-{step}"
PATTERN = re.compile(r"checkpoint-(\d+)")
MANIFEST = "manifest.json"
"""File of a checkpoint, written last: names, sizes and digests of all others."""
VERSION = 1
BEST = "best"
"""The folder beside the checkpoints that holds the weights of the best validation."""
ABOUT_BEST = "best.json"
"""Its file that says which validation that was."""
SCORE = "val/score/mean"
"""The metric by which validations are compared."""
READERS = 4
"""Files whose digests are computed at the same time."""


def step_of(checkpoint: Path) -> int | None:
    """The step after which a checkpoint was saved, as its engine counts; None for a folder of another name."""
    found = PATTERN.fullmatch(checkpoint.name)
    return int(found[1]) if found else None


def checkpoints_in(folder: Path) -> list[tuple[int, Path]]:
    """Steps and folders of all checkpoints, whole or not, oldest first."""
    found = ((step_of(path), path) for path in (folder.iterdir() if folder.is_dir() else ()))
    return sorted((step, path) for step, path in found if step is not None)


def write_manifest(checkpoint: Path) -> None:
    """Write down what a checkpoint consists of; nothing may be written to it afterwards.

    Args:
        checkpoint: its folder, with every other file in it.

    Raises:
        WriteError: the disk does not allow it.
    """
    names = sorted(_files(checkpoint))
    with writing(checkpoint / MANIFEST), ThreadPoolExecutor(READERS) as readers:
        digests = list(readers.map(lambda name: _digest(checkpoint / name), names))
    files = {
        name: {"bytes": (checkpoint / name).stat().st_size, "sha256": digest}
        for name, digest in zip(names, digests, strict=True)
    }
    write_atomically(checkpoint / MANIFEST, json.dumps({"version": VERSION, "files": files}, indent=1) + "\n")


def has_manifest(checkpoint: Path) -> bool:
    """Whether a checkpoint says what it consists of; those of earlier versions of this package do not."""
    return (checkpoint / MANIFEST).exists()


def damage_of(checkpoint: Path, *, by_size_alone: bool = False) -> str | None:
    """What is wrong with a checkpoint by its manifest.

    Args:
        checkpoint: its folder, with a manifest.
        by_size_alone: leave out the digests, for which every file is read.

    Returns:
        The first file that is missing or another one, and how; None where the checkpoint is whole.
    """
    try:
        manifest = json.loads((checkpoint / MANIFEST).read_text(encoding="utf-8"))
        entries = [
            (checkpoint / name, int(entry["bytes"]), entry["sha256"]) for name, entry in manifest["files"].items()
        ]
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        return f"{MANIFEST} cannot be read: {error}"
    for path, size, _ in entries:
        if not path.is_file():
            return f"{path.relative_to(checkpoint)} is missing"
        if (found := path.stat().st_size) != size:
            return f"{path.relative_to(checkpoint)} has {found:,} bytes where {MANIFEST} says {size:,}"
    if by_size_alone:
        return None
    with ThreadPoolExecutor(READERS) as readers:
        digests = readers.map(_digest_or_reason, [path for path, _, _ in entries])
        for (path, _, digest), found_digest in zip(entries, digests, strict=True):
            if found_digest != digest:
                return f"{path.relative_to(checkpoint)} is not what was written ({MANIFEST} has another SHA-256)"
    return None


def keep_best(folder: Path, step: int, score: float | None, write: Callable[[Path], None]) -> bool:
    """Keep the weights of a validation in `best` if none before it was better; of equals the first stays.

    Args:
        folder: where the run's checkpoints lie.
        step: the step whose weights were judged, as the engine counts.
        score: the validation's mean score; None where nothing could be scored.
        write: fills the folder that it is given with weights and tokenizer.

    Returns:
        Whether it is the best so far.

    Raises:
        WriteError: the disk does not allow it; the best before stays.
    """
    before = best_in(folder)
    if score is None or score != score or (before is not None and before["score"] >= score):
        return False
    partial, removed, best = (folder / name for name in (f".{BEST}.partial", f".{BEST}.removed", BEST))
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        write(partial)
        about = {"step": step, SCORE: score}
        write_atomically(partial / ABOUT_BEST, json.dumps(about) + "\n")
        write_manifest(partial)
        flush(partial)
        if best.exists():
            best.rename(removed)
        partial.rename(best)
    except Exception as error:  # what a full disk raises differs from library to library
        shutil.rmtree(partial, ignore_errors=True)
        raise WriteError(f"{best} could not be written: {error}") from error
    shutil.rmtree(removed, ignore_errors=True)
    return True


def best_in(folder: Path) -> dict[str, Any] | None:
    """`step` and `score` of the best validation whose weights are kept; None where there are none."""
    try:
        about = json.loads((folder / BEST / ABOUT_BEST).read_text(encoding="utf-8"))
        return {"step": int(about["step"]), "score": float(about[SCORE])}
    except (OSError, ValueError, LookupError, TypeError):
        return None


def remove_leftovers(folder: Path) -> None:
    """Remove what an interrupted run had begun to write or to remove."""
    if not folder.is_dir():
        return
    removed = folder / f".{BEST}.removed"
    if removed.is_dir() and not (folder / BEST).exists():  # interrupted between two renames
        removed.rename(folder / BEST)
    for path in (*folder.glob(".checkpoint-*"), *folder.glob(f".{BEST}.*")):
        shutil.rmtree(path, ignore_errors=True)


def flush(folder: Path) -> None:
    """Hand every file of a folder to the disk, before a rename makes the folder visible."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def _files(checkpoint: Path) -> list[str]:
    found = (path.relative_to(checkpoint) for path in checkpoint.rglob("*") if path.is_file())
    return [path.as_posix() for path in found if path != Path(MANIFEST)]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest_or_reason(path: Path) -> str:
    try:
        return _digest(path)
    except OSError as error:  # a disk that cannot be read any more
        return str(error)
