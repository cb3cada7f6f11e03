"""A run's folder, on both engines: which one it is, who may write to it, what lies where, and from where it goes on."""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.runs.checkpoints import checkpoints_in, step_of
from tau_retail_env.runs.files import write_atomically, writing
from tau_retail_env.runs.folder_lock import FolderLock, is_unused
from tau_retail_env.runs.metric_log import cut_after
from tau_retail_env.runs.resume import check_same_run

CONFIG = "config.yaml"
"""The file of a run's folder with the configuration that it was begun with."""
TRAJECTORIES = re.compile(r"(?:train|val|stopped)-(\d{6,})\.jsonl")
PARTIAL_TRAJECTORIES = re.compile(rf"\.{TRAJECTORIES.pattern}\.\d+\.part")
"""Names of the files of a step's episodes, and of those that an interrupted run had begun to write."""


@dataclass(frozen=True, kw_only=True)
class Engine:
    """What an engine says about the folders of its runs."""

    before_first: int
    """Its number of the last step that is done before there is any: both count steps in their own way."""
    may_differ: frozenset[str]
    """Keys at the top that may differ between a run and its continuation."""
    is_whole: Callable[[Path], bool]
    """Whether a run can go on from a checkpoint."""
    begins_anew: bool
    """Whether a run that is gone on with before its first checkpoint begins anew in its folder."""


class RunFolder:
    """Paths of one run, and from where it goes on; used as a context, at whose end others may write to it.

    Args:
        path: the run's own folder, absolute.
        engine: the engine that it is a run of.
        checkpoint: the checkpoint to go on from.
        lock: keeps other processes away.
    """

    def __init__(
        self, path: Path, engine: Engine, *, checkpoint: Path | None = None, lock: FolderLock | None = None
    ) -> None:
        self.path = path
        self.engine = engine
        self.checkpoint = checkpoint
        self._lock = lock
        self.config = path / CONFIG
        self.metrics = path / "metrics.jsonl"
        self.summary = path / "summary.json"
        self.curves = path / "curves.png"
        self.checkpoints = path / "checkpoints"
        self.tensorboard = path / "tensorboard"
        self.episodes = path / "trajectories"

    def __enter__(self) -> Self:
        """The folder is locked already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of the folder; a new one that was never opened goes."""
        if self._lock is not None:
            self._lock.release()

    @property
    def step(self) -> int:
        """The last step that is done and saved, as the engine counts."""
        step = step_of(self.checkpoint) if self.checkpoint else None
        return self.engine.before_first if step is None else step

    def trajectories(self, kind: str, step: int) -> Path:
        """File of the episodes played for training in a step (train), for validation after it (val), or when the run
        was stopped while it played for one of them (stopped)."""
        return self.episodes / f"{kind}-{step:06d}.jsonl"

    def last_checkpoint(self) -> Path | None:
        """The newest checkpoint that is whole now, None before the first."""
        return next(
            (path for _, path in reversed(checkpoints_in(self.checkpoints)) if self.engine.is_whole(path)), None
        )

    def open(self, config: str) -> None:
        """Make the folder ready to be written to.

        A new run gets its configuration; in one that goes on, what was written after the last checkpoint is removed,
        because it will be written again.

        Args:
            config: the run's configuration, as YAML.

        Raises:
            WriteError: the disk does not allow it.
        """
        for folder in (self.checkpoints, self.episodes):
            with writing(folder):
                folder.mkdir(parents=True, exist_ok=True)
        if not self.config.is_file():
            write_atomically(self.config, config)
        cut_after(self.metrics, self.step)
        for path in self._later_episodes():
            path.unlink()

    def _later_episodes(self) -> list[Path]:
        """Files of episodes after the checkpoint, or begun and not finished; what somebody else put there stays."""
        named = [(path, TRAJECTORIES.fullmatch(path.name)) for path in self.episodes.iterdir()]
        return [
            path
            for path, found in named
            if PARTIAL_TRAJECTORIES.fullmatch(path.name) or (found and int(found[1]) > self.step)
        ]


def claim(
    engine: Engine, values: Mapping[str, Any], *, output_dir: str, exp_name: str, resume: bool | str
) -> RunFolder:
    """Find a run's folder and lock it: a new one, or the one to go on with. Nothing is written into it yet.

    Args:
        engine: the engine that will write to it.
        values: the configuration as composed.
        output_dir: the folder of a new run.
        exp_name: the name of the experiment.
        resume: true for the newest run of this experiment, or a run's folder, or one of its checkpoints.

    Returns:
        The folder, to be opened before anything is written to it, and to be let go at the end.

    Raises:
        InvalidValueError: the folder belongs to another run, another process writes to it, there is none to go on
            with, or it has no checkpoint to go on from.
    """
    path = Path(output_dir).expanduser().resolve()
    if not resume:
        return RunFolder(path, engine, lock=lock_new(path))
    given = Path(resume).expanduser().resolve() if isinstance(resume, str) else None
    wanted = None
    if given is not None and step_of(given) is not None:
        given, wanted = given.parents[1], given
    run = given or (path if path.is_dir() else newest_run(exp_name, path))
    if not (run / CONFIG).is_file():
        raise InvalidValueError(f"resume: {run} holds no run ({CONFIG} is missing); give the folder of a run")
    checkpoint = _whole(engine, run, wanted)
    check_same_run(run, yaml.safe_load((run / CONFIG).read_text(encoding="utf-8")), values, engine.may_differ)
    return RunFolder(run, engine, checkpoint=checkpoint, lock=FolderLock(run))


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


def _whole(engine: Engine, run: Path, wanted: Path | None) -> Path | None:
    """The checkpoint to go on from: the one that is wanted, or the newest whole one.

    Raises:
        InvalidValueError: there is none, and the engine does not begin anew.
    """
    candidates = [wanted] if wanted else [path for _, path in checkpoints_in(run / "checkpoints")]
    found = next(filter(engine.is_whole, reversed(candidates)), None)
    if found is None and (wanted or not engine.begins_anew):
        raise InvalidValueError(
            f"resume: {wanted or run} holds no whole checkpoint; leave out resume to start from the beginning, "
            "with a folder of its own"
        )
    return found


def _is_taken(path: Path) -> InvalidValueError:
    another = "ive another: output_dir=FOLDER or exp_name=NAME"
    if (path / CONFIG).is_file():
        return InvalidValueError(
            f"output_dir {path} is not empty: it already holds a run. Go on with it by resume=true, or g{another}"
        )
    found = "already holds files of something else" if path.is_dir() else "already is a file of that name"
    return InvalidValueError(f"output_dir {path} {found}. G{another}")
