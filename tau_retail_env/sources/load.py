"""Loading tasks by source, split and subset, and finding one by its id."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Sequence

from tau_retail_env.errors import InvalidValueError, unknown
from tau_retail_env.sources.base import Source
from tau_retail_env.sources.registry import get_source
from tau_retail_env.tasks.subsets import SUBSETS, matching
from tau_retail_env.tasks.task import Task


def load_tasks(
    source: str = "tau2",
    split: str = "test",
    task_subset: str = "all",
    task_version: str | float | None = None,
    domain: str = "retail",
) -> list[Task]:
    """Load the tasks of one split of a source.

    Args:
        source: a name in `SOURCES`.
        split: a split of that source, such as "train" or "test".
        task_subset: an expression of subset names as `select_subset` reads it, such as "single*returns+payment".
        task_version: which edition of the source's tasks; None for the source's default.
        domain: "retail".

    Returns:
        The tasks in upstream's order, at least one. The list is the caller's own.

    Raises:
        InvalidValueError: unknown source, split, subset, version or domain, or no task is left.
        MissingDependencyError: the package that carries the source's data is not installed.
    """
    return list(shared_tasks(source, split, task_subset, task_version, domain))


def shared_tasks(
    source: str, split: str, task_subset: str, task_version: str | float | None = None, domain: str = "retail"
) -> tuple[Task, ...]:
    """What `load_tasks` loads, once in a process: any number of environments share it.

    Raises:
        InvalidValueError: unknown source, split, subset, version or domain, or no task is left.
        MissingDependencyError: the package that carries the source's data is not installed.
    """
    check_selection(source, split, task_subset, task_version, domain)
    origin = get_source(source, task_version, domain)
    if not (selected := _selected_tasks(origin, split, task_subset)):
        raise _empty_selection(origin, split, task_subset, sorted(origin.splits()))
    return selected


def check_selection(
    source: str, split: str, task_subset: str, task_version: str | float | None = None, domain: str = "retail"
) -> None:
    """Refuse what `load_tasks` refuses; no task is generated for it.

    Raises:
        InvalidValueError: unknown source, split, subset, version or domain, or no task is left.
        MissingDependencyError: the package that carries the source's data is not installed.
    """
    origin = get_source(source, task_version, domain)
    known_splits = sorted(origin.splits())
    if split not in known_splits:
        raise unknown(f"split of source {source!r}", split, known_splits)
    if not isinstance(task_subset, str):
        raise unknown("task_subset", task_subset, SUBSETS)
    if not matching(origin.examples(split), task_subset):
        raise _empty_selection(origin, split, task_subset, known_splits)


def version_of(tasks: Sequence[Task], source: str, task_version: str | float | None = None) -> str | None:
    """The one version that tasks of a source have.

    Args:
        tasks: from anywhere; those of other sources do not count.
        source: where they are to be played.
        task_version: the version they must have, None for any.

    Returns:
        The version, None for the source's default.

    Raises:
        InvalidValueError: no tasks but something else, tasks of two versions, or of another than the one asked for.
    """
    for task in tasks:
        if not isinstance(task, Task):
            raise InvalidValueError(f"tasks: found {task!r}, expected Task objects, such as load_tasks() returns")
    found = {task.version for task in tasks if task.source == source and task.version is not None}
    wanted = get_source(source, task_version).version if task_version is not None else None
    if len(found | ({wanted} if wanted else set())) > 1:
        told = ", ".join(sorted(repr(version) for version in found))
        raise InvalidValueError(
            f"tasks of source {source!r} have version {told}"
            + (f", but task_version is {wanted!r}" if wanted else "")
            + ": results of two versions cannot be compared; play each version by itself"
        )
    return wanted or next(iter(found), None)


def find_task(tasks: Sequence[Task], task_id: str) -> Task:
    """Find one task by its id.

    Args:
        tasks: where to look.
        task_id: the whole id, such as "tau2/12" or "generated/train/7".

    Returns:
        The task with that id.

    Raises:
        InvalidValueError: no task has that id; the message names the nearest one.
    """
    for task in tasks:
        if task.id == task_id:
            return task
    ids = [task.id for task in tasks]
    if not ids:
        raise InvalidValueError(f"Unknown task_id {task_id!r}: there are no tasks to look in.")
    ending = [known for known in ids if known.endswith(f"/{task_id}")]
    near = ending[:1] or difflib.get_close_matches(str(task_id), ids, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise InvalidValueError(f"Unknown task_id {task_id!r}; the {len(ids)} tasks are {ids[0]!r} to {ids[-1]!r}.{hint}")


@functools.cache
def _all_tasks(source: Source, split: str) -> tuple[Task, ...]:
    return tuple(source.load(split))


@functools.lru_cache(maxsize=64)
def _selected_tasks(source: Source, split: str, task_subset: str) -> tuple[Task, ...]:
    return tuple(matching(_all_tasks(source, split), task_subset))


def _empty_selection(source: Source, split: str, expression: str, known_splits: list[str]) -> InvalidValueError:
    elsewhere = [name for name in known_splits if matching(source.examples(name), expression)]
    remedy = f"It has tasks in split: {', '.join(elsewhere)}." if elsewhere else "No split of this source has any."
    return InvalidValueError(
        f"task_subset {expression!r} of source {source.name!r}, split {split!r} is empty. {remedy}"
    )
