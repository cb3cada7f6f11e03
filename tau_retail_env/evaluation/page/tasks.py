"""The tasks that recorded episodes were played on, in the version that they were played in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.errors import InvalidValueError, MissingDependencyError
from tau_retail_env.evaluation.settings import task_digests
from tau_retail_env.sources import load_tasks
from tau_retail_env.tasks import SUBSETS, Task

Place = tuple[str, str, str | None]


class TaskFinder:
    """Finds an episode's task, if its source is here.

    Args:
        digests: of the tasks that were played, by id, as far as they are known: a task of the same name that asks
            something else is not found.
    """

    def __init__(self, digests: Mapping[str, str]) -> None:
        self._digests = digests
        self._tasks: dict[Place, dict[str, Task]] = {}

    def of(self, trajectory: Trajectory) -> Task | None:
        """The task of an episode; None where it is not here."""
        source, *split = trajectory.task_id.split("/")[:-1]
        place = source, "/".join(split) or "base", trajectory.task_version
        if place not in self._tasks:
            self._tasks[place] = {task.id: task for task in _loaded(*place) if self._is_same(task)}
        return self._tasks[place].get(trajectory.task_id)

    def _is_same(self, task: Task) -> bool:
        played = self._digests.get(task.id)
        return played is None or played == task_digests([task])[task.id]


def subset_names(task: Task) -> list[str]:
    """The names of the subsets that a task belongs to, "all" aside."""
    return [name for name, holds in SUBSETS.items() if name != "all" and holds(task)]


def _loaded(source: str, split: str, version: str | None) -> Iterable[Task]:
    try:
        return load_tasks(source, split, task_version=version)
    except (InvalidValueError, MissingDependencyError):
        return ()
