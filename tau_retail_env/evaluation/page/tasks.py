"""The tasks that recorded episodes were played on, in the version that they were played in."""

from __future__ import annotations

from collections.abc import Iterable

from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.errors import InvalidValueError, MissingDependencyError
from tau_retail_env.sources import load_tasks
from tau_retail_env.tasks import SUBSETS, Task

Place = tuple[str, str, str | None]


class TaskFinder:
    """Finds an episode's task, if its source is here.

    Args:
        version: the version of the tasks of an episode that does not tell it; None for the source's default.
    """

    def __init__(self, version: str | None = None) -> None:
        self._version = version
        self._tasks: dict[Place, dict[str, Task]] = {}

    def of(self, trajectory: Trajectory) -> Task | None:
        """The task of an episode; None where it is not here."""
        source, *split = trajectory.task_id.split("/")[:-1]
        place = source, "/".join(split) or "base", trajectory.task_version or self._version
        if place not in self._tasks:
            self._tasks[place] = {task.id: task for task in _loaded(*place)}
        return self._tasks[place].get(trajectory.task_id)


def subset_names(task: Task) -> list[str]:
    """The names of the subsets that a task belongs to, "all" aside."""
    return [name for name, holds in SUBSETS.items() if name != "all" and holds(task)]


def _loaded(source: str, split: str, version: str | None) -> Iterable[Task]:
    try:
        return load_tasks(source, split, task_version=version)
    except (InvalidValueError, MissingDependencyError):
        return ()
