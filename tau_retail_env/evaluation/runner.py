"""Plays what an evaluation still lacks and keeps its record: after a kill at any moment the same call resumes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.evaluation.facts import Facts, facts_of
from tau_retail_env.evaluation.record import EPISODES, RESULTS, SETTINGS, EpisodeLog, of_one_evaluation, read_episodes
from tau_retail_env.evaluation.settings import EvalSettings, check_same, holds_episodes, read_settings
from tau_retail_env.evaluation.worker_pool import Job, Played
from tau_retail_env.runs.files import is_partial, write_atomically
from tau_retail_env.runs.folder_lock import LOCK
from tau_retail_env.tasks import Task

TRIES = 3
"""How often an episode is played whose customer fails."""

Progress = Callable[[Sequence[Facts], int], None]
"""Called after each episode, and now and then while none ends, with all that are known and how many there will be."""


@dataclass(slots=True)
class Standing:
    """What is known of an evaluation so far."""

    settings: EvalSettings
    """What was to be played."""
    episodes: list[Facts] = field(default_factory=list)
    """One for each task and trial that was played: a scored one where there is one."""
    spent: list[Facts] = field(default_factory=list)
    """Those that were played again: not counted, but paid for."""
    ended_by: BaseException | None = None
    """What ended it early: Ctrl-C, a budget, a server that is gone; None where all was played."""
    seconds: float = 0.0
    """Wall-clock seconds of this call's playing."""
    played_now: int = 0
    """Episodes that this call played."""
    _places: dict[tuple[str, int], int] = field(default_factory=dict, repr=False)
    """Where each task and trial stands in `episodes`."""

    @property
    def asked(self) -> int:
        """Episodes that are to be played."""
        return len(self.settings.tasks) * self.settings.trials

    def take(self, facts: Facts) -> None:
        """Add an episode; of one task and trial a scored one counts, else the last."""
        place = self._places.get(facts.key)
        if place is None:
            self._places[facts.key] = len(self.episodes)
            self.episodes.append(facts)
        elif self.episodes[place].scorable:
            self.spent.append(facts)
        else:
            self.spent.append(self.episodes[place])
            self.episodes[place] = facts

    def missing(self) -> list[Job]:
        """What is still to be played, every task once before any twice; unscored episodes once more."""
        done = {facts.key for facts in self.episodes if facts.scorable}
        jobs = (Job(task, trial) for trial in range(self.settings.trials) for task in self.settings.tasks)
        return [job for job in jobs if (job.task_id, job.trial) not in done]


def open_folder(folder: Path, settings: EvalSettings, tasks: Sequence[Task]) -> Standing:
    """Begin an evaluation in a folder, or find what one has played there; the folder is locked by the caller.

    Where an evaluation has played nothing, as one whose server did not answer, another may take its place.

    Args:
        folder: where it is, or will be.
        settings: what is to be played.
        tasks: the tasks of the settings.

    Raises:
        InvalidValueError: the folder holds another evaluation, files of something else, or a damaged record.
        WriteError: the disk does not allow it.
    """
    for path in [one for one in folder.iterdir() if is_partial(one) and one.is_file()]:
        path.unlink()  # of a process that was killed: the folder is locked
    if not (folder / SETTINGS).is_file():
        if holds_episodes(folder) or any(path.name != LOCK for path in folder.iterdir()):
            raise InvalidValueError(f"{folder} holds files of something else; give another folder: output_dir=FOLDER")
    else:
        begun = read_settings(folder)
        if (folder / EPISODES).is_file() and (folder / EPISODES).stat().st_size:
            check_same(folder, begun, settings)
    write_atomically(folder / SETTINGS, settings.as_json())
    return stand(folder, settings, tasks)


def stand(folder: Path, settings: EvalSettings, tasks: Sequence[Task]) -> Standing:
    """What an evaluation has played so far.

    Args:
        folder: the evaluation's.
        settings: its settings.
        tasks: its tasks, as far as they are here.

    Raises:
        InvalidValueError: a damaged record, or an episode of another task or version than the evaluation's.
    """
    standing, by_id = Standing(settings), {task.id: task for task in tasks}
    path = folder / EPISODES
    there = read_episodes(path) if path.is_file() else ()
    for episode in of_one_evaluation(there, path, settings):
        if episode.trial < settings.trials:
            standing.take(facts_of(episode, by_id.get(episode.trajectory.task_id)))
    return standing


class Playing(Protocol):
    """Plays jobs and hands each back as it ends: a `WorkerPool`, or a `CheckpointPool`."""

    def play(self, jobs: Iterable[Job], again: Callable[[Played], bool]) -> Generator[Played | None]:
        """Play jobs; `again` says whether an episode is to be played once more."""
        ...


def play(standing: Standing, folder: Path, pool: Playing, progress: Progress) -> None:
    """Play what is missing, each episode into the record as it ends.

    What ends this early (Ctrl-C among it) is kept in `standing.ended_by`, and is the caller's to raise.

    Args:
        standing: what is known; grows.
        folder: the evaluation's, locked by the caller.
        pool: who plays.
        progress: called after each episode, and now and then while none ends.
    """
    jobs = standing.missing()
    tries: dict[Job, int] = {}
    began = time.monotonic()

    def again(one: Played) -> bool:
        tries[one.job] = tries.get(one.job, 0) + 1
        return not one.facts.scorable and tries[one.job] < TRIES

    with EpisodeLog(folder / EPISODES) as log, closing(pool.play(jobs, again)) as ends:
        try:
            for end in ends:
                if end is None:
                    log.sync_if_due()
                    progress(standing.episodes, standing.asked)
                    continue
                log.append(end.line)
                standing.take(end.facts)
                standing.played_now += 1
                progress(standing.episodes, standing.asked)
        except BaseException as error:
            standing.ended_by = error
    standing.seconds = time.monotonic() - began


def write_results(folder: Path, results: Mapping[str, Any]) -> None:
    """Write results.json, whole or not at all.

    Args:
        folder: the evaluation's.
        results: as `outcome.figures` makes them.

    Raises:
        WriteError: the disk does not allow it.
    """
    write_atomically(folder / RESULTS, json.dumps(results, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
