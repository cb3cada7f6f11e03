"""One run's folder: who may write to it, and what lies where."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from tau_retail_env.config import to_yaml
from tau_retail_env.config.run import RunConfig
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.local import checkpoint
from tau_retail_env.runs.files import write_atomically, writing
from tau_retail_env.runs.folder import CONFIG, lock_new, newest_run
from tau_retail_env.runs.folder_lock import FolderLock
from tau_retail_env.runs.metric_log import cut_after
from tau_retail_env.runs.resume import check_same_run

METRICS = "metrics.jsonl"
SUMMARY = "summary.json"
MAY_DIFFER = ("output_dir", "resume", "resume_from_checkpoint")
"""Keys that may differ between a run and its continuation."""
TRAJECTORIES = re.compile(r"(?:train|val|stopped)-(\d{6,})\.jsonl")
PARTIAL_TRAJECTORIES = re.compile(rf"\.{TRAJECTORIES.pattern}\.\d+\.part")
"""Names of the files of episodes, and of those that an interrupted run had begun to write."""


class RunFolder:
    """Paths of one run and the step from which it goes on; used as a context, at whose end others may write to it.

    Args:
        path: the run's own folder.
        step: steps that are already done and saved.
        lock: keeps other processes away.
    """

    def __init__(self, path: Path, *, step: int = 0, lock: FolderLock | None = None) -> None:
        self.path = path
        self.step = step
        self._lock = lock
        self.metrics = path / METRICS
        self.summary = path / SUMMARY
        self.curves = path / "curves.png"
        self.checkpoints = path / "checkpoints"
        self.tensorboard = path / "tensorboard"

    def __enter__(self) -> Self:
        """The folder is locked already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of the folder; a new one that was never opened goes."""
        if self._lock is not None:
            self._lock.release()

    def trajectories(self, kind: str, step: int) -> Path:
        """File of the episodes played for training in a step (train), for validation after it (val), or when the run
        was stopped while it played for one of them (stopped)."""
        return self.path / "trajectories" / f"{kind}-{step:06d}.jsonl"

    def open(self, values: Mapping[str, Any]) -> None:
        """Make the folder ready to be written to.

        A new run gets its configuration; in one that goes on, what was written after the last checkpoint is removed,
        because it will be written again.

        Raises:
            WriteError: the disk does not allow it.
        """
        trajectories = self.path / "trajectories"
        if not (self.path / CONFIG).is_file():
            write_atomically(self.path / CONFIG, to_yaml(values))
        with writing(trajectories):
            trajectories.mkdir(exist_ok=True)
        checkpoint.remove_leftovers(self.checkpoints)
        cut_after(self.metrics, self.step)
        for path in trajectories.iterdir():
            found = TRAJECTORIES.fullmatch(path.name)
            if PARTIAL_TRAJECTORIES.fullmatch(path.name) or (found and int(found[1]) > self.step):
                path.unlink()

    def last_checkpoint(self) -> Path | None:
        """The newest complete checkpoint, None before the first."""
        found = checkpoint.complete(self.checkpoints)
        return found[-1][1] if found else None


def claim(config: RunConfig, values: Mapping[str, Any]) -> RunFolder:
    """Find the run's folder and lock it: a new one, or the one to go on with. Nothing is written into it yet.

    Args:
        config: the checked configuration.
        values: the same as composed.

    Returns:
        The folder, to be opened before anything is written to it, and to be let go at the end.

    Raises:
        InvalidValueError: the folder belongs to another run, another process writes to it, or there is none to go on
            with.
    """
    path = Path(config.output_dir).expanduser().resolve()
    if not config.resume:
        return RunFolder(path, lock=lock_new(path))
    path = _to_resume(config, path)
    stored = yaml.safe_load((path / CONFIG).read_text(encoding="utf-8"))
    check_same_run(path, stored, values, may_differ=MAY_DIFFER)
    lock = FolderLock(path)
    found = checkpoint.complete(path / "checkpoints")
    return RunFolder(path, step=found[-1][0] if found else 0, lock=lock)


def _to_resume(config: RunConfig, path: Path) -> Path:
    """The folder that resume means: the one given, output_dir where it exists, or the newest of this experiment."""
    if isinstance(config.resume, str):
        path = Path(config.resume).expanduser().resolve()
    elif not path.is_dir():
        path = newest_run(config.exp_name, path)
    if not (path / CONFIG).is_file():
        raise InvalidValueError(f"resume: {path} holds no run ({CONFIG} is missing); give the folder of a run")
    return path
