"""An evaluation's folder: its settings, one line an episode, its outcome; a kill at any moment loses no whole line."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Self

from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.runs.files import writing
from tau_retail_env.runs.trajectories import as_line, record_of, trajectory_of

if TYPE_CHECKING:
    from tau_retail_env.evaluation.settings import EvalSettings

EPISODES = "episodes.jsonl"
"""The file with one line an episode, which only grows."""
SETTINGS = "eval.json"
"""The file with what was to be played."""
RESULTS = "results.json"
"""The file with what came out."""
SYNC_S = 1.0
"""Seconds after which what was written is handed to the disk."""
TRIAL = "trial"
"""The one field that a line has besides those of a trajectory."""
MOST_TRIALS = 1_000_000
"""Trials of a task: more are no number that was meant, and would fill the memory."""
BLOCK = 1 << 16


@dataclass(frozen=True, slots=True)
class Episode:
    """One line of the record."""

    trial: int
    """Which of the task's trials, counted from 0."""
    trajectory: Trajectory
    """The conversation and its verdict."""

    def as_line(self) -> str:
        """The line, without its end."""
        return as_line(self.trajectory, **{TRIAL: self.trial})


class EpisodeLog:
    """The file of episodes, open for more of them; what a killed process wrote of a line is cut off first.

    Every line is written by one call, so that a killed process leaves it whole or as the file's last, torn one.

    Args:
        path: the file; its folder exists.

    Raises:
        WriteError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with writing(path):
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
            os.ftruncate(self._descriptor, _end_of_last_line(self._descriptor))
        self._is_synced = True
        self._synced_at = time.monotonic()

    def __enter__(self) -> Self:
        """The file is open already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hand everything to the disk and close."""
        try:
            self._sync()
        finally:
            os.close(self._descriptor)

    def append(self, line: str) -> None:
        """Add an episode; the operating system has it when this returns.

        Args:
            line: as `Episode.as_line` makes it.

        Raises:
            WriteError: the disk is full; the file ends with the episode before.
        """
        data = f"{line}\n".encode()
        with writing(self._path):
            size = os.fstat(self._descriptor).st_size
            if os.write(self._descriptor, data) != len(data):
                os.ftruncate(self._descriptor, size)
                raise OSError(f"no space left for {len(data)} bytes")
        self._is_synced = False
        self.sync_if_due()

    def sync_if_due(self) -> None:
        """Hand what was written to the disk, at most once in `SYNC_S` seconds."""
        if time.monotonic() - self._synced_at >= SYNC_S:
            self._sync()

    def _sync(self) -> None:
        if not self._is_synced:
            with writing(self._path):
                os.fsync(self._descriptor)
            self._is_synced = True
        self._synced_at = time.monotonic()


def evaluation_at(path: Path) -> Path:
    """The evaluation's folder where a path is its settings or its results; else the path as it is."""
    is_of_one = path.name in (SETTINGS, RESULTS) and (path.parent / SETTINGS).is_file()
    return path.parent if is_of_one else path


def read_episodes(path: Path) -> Iterator[Episode]:
    """The episodes of a file, one after another; a last line without an end was never finished and is passed over.

    Args:
        path: `episodes.jsonl` of an evaluation, or a file of trajectories, whose lines count as trials in their order.

    Raises:
        InvalidValueError: a line that is no episode, or a file that cannot be read; the message names file and line.
    """
    seen: dict[str, int] = {}
    with _opened(path) as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            yield episode_of(line, f"{path}, line {number}", seen)


def episode_of(line: bytes, where: str, seen: dict[str, int]) -> Episode:
    """The episode that a whole line holds.

    Args:
        line: the line, with its end.
        where: file and line, for the error.
        seen: by task, how many lines before gave no trial; counts on.

    Raises:
        InvalidValueError: it is no episode.
    """
    record = record_of(line, where)
    trial = record.pop(TRIAL, None)
    trajectory = trajectory_of(record, where)
    if trial is None:
        trial = seen.get(trajectory.task_id, 0)
        seen[trajectory.task_id] = trial + 1
    if type(trial) is not int or not 0 <= trial < MOST_TRIALS:
        raise InvalidValueError(f"{where}: trial must be a whole number from 0 on, found {str(trial)[:40]!r}")
    return Episode(trial, trajectory)


def of_one_version(episodes: Iterable[Episode], path: Path, task_version: str | None = None) -> Iterator[Episode]:
    """Episodes, all on tasks of one version: a figure over two says nothing of either.

    Args:
        episodes: those of a file; one that names no version fits any.
        path: the file, for the error.
        task_version: what the evaluation's settings say; None where there are none.

    Raises:
        InvalidValueError: names both versions, and a task of the second.
    """
    known, source = task_version, SETTINGS
    for episode in episodes:
        found = episode.trajectory.task_version
        if None not in (found, known) and found != known:
            raise InvalidValueError(
                f"{path} holds {episode.trajectory.task_id} of task version {found}, but {source} says "
                f"{known or 'none'}: results of two task versions cannot be mixed. Keep the episodes of one"
            )
        if known is None:
            known, source = found, f"{episode.trajectory.task_id} before it"
        yield episode


def of_one_evaluation(episodes: Iterable[Episode], path: Path, settings: EvalSettings) -> Iterator[Episode]:
    """Episodes, all on the tasks of an evaluation and of its version.

    Args:
        episodes: those of a file.
        path: the file, for the error.
        settings: the evaluation's.

    Raises:
        InvalidValueError: names the first task that is none of the evaluation's.
    """
    for episode in of_one_version(episodes, path, settings.task_version):
        if episode.trajectory.task_id not in settings.tasks:
            raise InvalidValueError(
                f"{path} holds an episode of {episode.trajectory.task_id}, which is no task of this evaluation"
            )
        yield episode


def best_episodes(path: Path, settings: EvalSettings | None = None) -> Iterator[Episode]:
    """Of every task and trial the episode that counts: the first scored one, else the last; in the record's order.

    Args:
        path: `episodes.jsonl` of an evaluation; it is read twice.
        settings: the evaluation's; None where they are not at hand.

    Raises:
        InvalidValueError: a line that is no episode, a file that cannot be read, tasks of two versions, or one that is
            not the evaluation's.
    """
    chosen: dict[tuple[str, int], tuple[int, bool]] = {}
    there = read_episodes(path)
    checked = of_one_version(there, path) if settings is None else of_one_evaluation(there, path, settings)
    for place, episode in enumerate(checked):
        key = episode.trajectory.task_id, episode.trial
        if key not in chosen or not chosen[key][1]:
            chosen[key] = place, episode.trajectory.scorable
    places = {place for place, _ in chosen.values()}
    yield from (episode for place, episode in enumerate(read_episodes(path)) if place in places)


def each_once(episodes: Iterable[Episode], path: Path) -> Iterator[Episode]:
    """Episodes, of which no two are the same trial of a task: it would be open which of them counts.

    Args:
        episodes: those of a file.
        path: the file, for the error.

    Raises:
        InvalidValueError: names the first task and trial that is there twice; or there is no episode at all.
    """
    seen: set[tuple[str, int]] = set()
    for episode in episodes:
        key = episode.trajectory.task_id, episode.trial
        if key in seen:
            raise InvalidValueError(
                f"{path} holds trial {key[1]} of {key[0]} twice; leave one out, or number the trials apart"
            )
        seen.add(key)
        yield episode
    if not seen:
        raise InvalidValueError(f"{path} holds no episode; name the file of a run that played one")


def _opened(path: Path) -> BinaryIO:
    try:
        return open(path, "rb")
    except FileNotFoundError:
        raise InvalidValueError(f"{path} is missing: no episode has been played there") from None
    except OSError as error:
        raise InvalidValueError(f"{path} cannot be read: {error.strerror}") from None


def _end_of_last_line(descriptor: int) -> int:
    """How many bytes of a file are whole lines."""
    end = os.fstat(descriptor).st_size
    while end > 0:
        start = max(0, end - BLOCK)
        place = os.pread(descriptor, end - start, start).rfind(b"\n")
        if place >= 0:
            return start + place + 1
        end = start
    return 0
