"""A run's folder, on both engines: which one it is, who may write to it, what lies where, and where it resumes."""

from __future__ import annotations

import glob
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

import yaml

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.runs.checkpoints import (
    MANIFEST,
    checkpoints_in,
    damage_of,
    has_manifest,
    remove_leftovers,
    step_of,
)
from tau_retail_env.runs.files import write_atomically, writing
from tau_retail_env.runs.folder_lock import FolderLock, is_unused
from tau_retail_env.runs.metric_log import cut_after
from tau_retail_env.runs.resume import CONFIG, check_same_run, read_config

OF_THE_START = ("output_dir", "logging_dir", "checkpoint_config", "resume", "resume_from_checkpoint")
"""Keys of which a run's folder keeps the first value: they say where, and that nothing is resumed."""
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
    damage_without_manifest: Callable[[Path], str | None]
    """What is wrong with a checkpoint of an earlier version, which has no manifest; None where it looks whole."""
    compared: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict
    """What of a configuration must be the same, before keys that may differ are left out."""

    def damage_of(self, checkpoint: Path, *, by_size_alone: bool = False) -> str | None:
        """Why a run cannot resume from a checkpoint; None where it can.

        Args:
            checkpoint: its folder.
            by_size_alone: do not read its files.
        """
        if not checkpoint.is_dir():
            return "it is not there"
        if not has_manifest(checkpoint):
            return self.damage_without_manifest(checkpoint)
        return damage_of(checkpoint, by_size_alone=by_size_alone)


class RunFolder:
    """Paths of one run, and where it resumes; used as a context, at whose end others may write to it.

    Args:
        path: the run's own folder, absolute.
        engine: the engine that it is a run of.
        checkpoint: the checkpoint to resume from.
        lock: keeps other processes away.
        damaged: checkpoints that are not whole, with the reason.
    """

    def __init__(
        self,
        path: Path,
        engine: Engine,
        *,
        checkpoint: Path | None = None,
        lock: FolderLock | None = None,
        damaged: Mapping[Path, str] = MappingProxyType({}),
    ) -> None:
        self.path = path
        self.engine = engine
        self.checkpoint = checkpoint
        self._lock = lock
        self._damaged = damaged
        self.config = path / CONFIG
        self.metrics = path / "metrics.jsonl"
        self.summary = path / "summary.json"
        self.log = path / "train.log"
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
        for _, path in reversed(checkpoints_in(self.checkpoints)):
            if self.engine.damage_of(path, by_size_alone=True) is None:
                return path
        return None

    def open(self, config: str) -> list[str]:
        """Make the folder ready to be written to.

        A new run gets its configuration. In a resumed one, what was written after the last checkpoint is removed,
        because it will be written again; other checkpoints that are later, or not whole, are set aside.

        Args:
            config: the run's configuration, as YAML.

        Returns:
            What there is to say about a resumed run: from where, what was not whole, what was removed.

        Raises:
            WriteError: the disk does not allow it.
        """
        goes_on = self.config.is_file()
        for folder in (self.checkpoints, self.episodes):
            with writing(folder):
                folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(self.checkpoints)
        self._keep(config)
        notes = [*self._set_aside(), *cut_after(self.metrics, self.step)]
        if later := self._later_episodes():
            notes.append(f"removed, they will be played again: {', '.join(sorted(path.name for path in later))}")
            for path in later:
                path.unlink()
        return [self._going_on(), *notes] if goes_on else []

    def _going_on(self) -> str:
        if self.checkpoint is None:
            return f"resuming {self.path}: it has no checkpoint yet, training begins anew"
        by_files = "" if has_manifest(self.checkpoint) else f" (it has no {MANIFEST}: taken as whole by its files)"
        return f"going on after step {self.step}, from {self.checkpoint}{by_files}"

    def _keep(self, config: str) -> None:
        """Write down the configuration, or what has changed of it since the run was begun."""
        if not self.config.is_file():
            write_atomically(self.config, config)
            return
        stored, given = read_config(self.path), yaml.safe_load(config)
        changed = {**given, **{name: stored[name] for name in OF_THE_START if name in stored}}
        if changed != stored:
            write_atomically(self.config, as_yaml(changed))

    def _set_aside(self) -> list[str]:
        """Rename checkpoints from which the run does not go on, so that none is taken for one of the run to come."""
        notes = []
        for step, path in checkpoints_in(self.checkpoints):
            reason = self._damaged.get(path)
            if reason is None and step <= self.step:
                continue
            aside = path.with_name(f"{path.name}.aside-{time.time_ns()}")
            with writing(aside):
                path.rename(aside)
            why = f"is not whole: {reason}" if reason else "is later"
            notes.append(f"{path.name} {why}. It is set aside as {aside.name}; remove it when you do not need it")
        return notes

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
    """Find a run's folder and lock it: a new one, or the one to resume. Nothing is written into it yet.

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
            with, or it has no checkpoint to resume from.
    """
    path = Path(output_dir).expanduser().resolve()
    if not resume:
        return RunFolder(path, engine, lock=lock_new(path))
    given = Path(resume).expanduser().resolve() if isinstance(resume, str) else None
    wanted = given if given is not None and step_of(given) is not None else None
    run = wanted.parents[1] if wanted else given or (path if path.is_dir() else newest_run(exp_name, path))
    check_same_run(run, engine.compared(read_config(run)), engine.compared(values), engine.may_differ)
    lock = FolderLock(run)
    try:
        checkpoint, damaged = _checkpoint(engine, run, wanted)
    except InvalidValueError:
        lock.release()
        raise
    return RunFolder(run, engine, checkpoint=checkpoint, lock=lock, damaged=damaged)


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
        if read_config(file.parent).get("exp_name") == name:
            return file.parent
    raise InvalidValueError(
        f"resume: there is no run of {name!r} in {beside.parent}; leave out resume=true to start one, "
        "or give a run's folder: resume=FOLDER"
    )


def _checkpoint(engine: Engine, run: Path, wanted: Path | None) -> tuple[Path | None, dict[Path, str]]:
    """The checkpoint to resume from, the one that is wanted or the newest whole one, and what is wrong with newer ones.

    Raises:
        InvalidValueError: there are some, and not one is whole.
    """
    candidates = [wanted] if wanted else [path for _, path in reversed(checkpoints_in(run / "checkpoints"))]
    damaged: dict[Path, str] = {}
    for path in candidates:
        if (reason := engine.damage_of(path)) is None:
            return path, damaged
        damaged[path] = reason
    if damaged:
        reasons = "; ".join(f"{path.name}: {reason}" for path, reason in damaged.items())
        raise InvalidValueError(
            f"resume: {wanted or run} holds no whole checkpoint ({reasons}); leave out resume to start from the "
            "beginning, with a folder of its own"
        )
    return None, damaged


def _is_taken(path: Path) -> InvalidValueError:
    another = "ive another: output_dir=FOLDER or exp_name=NAME"
    if (path / CONFIG).is_file():
        return InvalidValueError(
            f"output_dir {path} is not empty: it already holds a run. Resume it with resume=true, or g{another}"
        )
    found = "already holds files of something else" if path.is_dir() else "already is a file of that name"
    return InvalidValueError(f"output_dir {path} {found}. G{another}")


def as_yaml(values: Mapping[str, Any]) -> str:
    """A configuration as YAML that Hydra reads back as it was."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.create(dict(values)))
