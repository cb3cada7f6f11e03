"""Loading tasks by source, split and subset, and finding one by its id."""

from __future__ import annotations

import collections
import functools
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tau_retail_env.errors import InvalidValueError, nearest, unknown
from tau_retail_env.sources.base import Source
from tau_retail_env.sources.parts import of_part, whole_of, with_parts
from tau_retail_env.sources.registry import get_source
from tau_retail_env.sources.task_checks import check_gold_calls, check_tasks
from tau_retail_env.tasks.files import read_tasks
from tau_retail_env.tasks.subsets import SUBSETS, matching
from tau_retail_env.tasks.task import Task


def load_tasks(
    source: str = "tau2",
    split: str = "train",
    task_subset: str = "all",
    task_version: str | float | None = None,
    domain: str = "retail",
    *,
    exclude_tasks: Sequence[str] = (),
    task_file: str | None = None,
) -> list[Task]:
    """Load the tasks of one split of a source.

    Args:
        source: a name in `SOURCES`.
        split: a split of that source, such as "train" or "test"; or a part of a training split, train_dev or train_fit.
        task_subset: an expression of subset names as `select_subset` reads it, such as "single*returns+payment".
        task_version: which edition of the source's tasks; None for the source's default.
        domain: "retail".
        exclude_tasks: ids of tasks that are left out: of the split, or where that is a part, of the whole split.
        task_file: a file of tasks of that source and split, as `tau-retail generate` writes it, in place of the
            source's own.

    Returns:
        The tasks in upstream's order, at least one. The list is the caller's own.

    Raises:
        InvalidValueError: unknown source, split, subset, version, domain or task, or no task is left; a file that is
            missing, or holds something else.
        MissingDependencyError: the package that carries the source's data is not installed.
    """
    chosen = (source, split, task_subset, task_version, domain)
    return list(shared_tasks(*chosen, exclude_tasks=exclude_tasks, task_file=task_file))


def shared_tasks(
    source: str,
    split: str,
    task_subset: str,
    task_version: str | float | None = None,
    domain: str = "retail",
    *,
    exclude_tasks: Sequence[str] = (),
    task_file: str | None = None,
) -> tuple[Task, ...]:
    """What `load_tasks` loads, once in a process: any number of environments share it.

    Raises:
        InvalidValueError: see `load_tasks`.
        MissingDependencyError: the package that carries the source's data is not installed.
    """
    check_selection(source, split, task_subset, task_version, domain, exclude_tasks=exclude_tasks, task_file=task_file)
    origin = get_source(source, task_version, domain)
    if not (selected := _selected_tasks(origin, split, task_subset, tuple(exclude_tasks), stamped(task_file))):
        raise _empty_selection(origin, split, task_subset, exclude_tasks, task_file)
    return selected


def bring_tasks(
    tasks: Sequence[Task],
    source: str,
    split: str,
    task_subset: str,
    task_version: str | float | None = None,
    *,
    exclude_tasks: Sequence[str] = (),
    file: Stamped | None = None,
) -> None:
    """Have `shared_tasks` know what another process has loaded: a series of generated tasks takes seconds.

    Args:
        tasks: what `load_tasks` returned there for what follows.
        source: see `load_tasks`, as all that follows.
        split: see there.
        task_subset: see there.
        task_version: see there.
        exclude_tasks: see there.
        file: what `stamped` said of its task_file before; where it is another one here, or by now, it is read.

    Raises:
        InvalidValueError: unknown source or version.
    """
    _brought()[get_source(source, task_version), split, task_subset, tuple(exclude_tasks), file] = tuple(tasks)


def given_or_shared(
    tasks: Sequence[Task] | None,
    source: str,
    split: str,
    task_subset: str,
    task_version: str | float | None,
    exclude_tasks: Sequence[str],
    task_file: str | None,
) -> tuple[Task, ...]:
    """The tasks that a caller has in hand; where it has None, those of `shared_tasks`.

    Raises:
        InvalidValueError: no tasks in hand, one that cannot be judged, or a choice among them; see `load_tasks`.
        MissingDependencyError: the package that carries the source's data is not installed.
    """
    if tasks is None:
        chosen = (source, split, task_subset, task_version)
        return shared_tasks(*chosen, exclude_tasks=exclude_tasks, task_file=task_file)
    if exclude_tasks or task_file is not None:
        name = "exclude_tasks" if exclude_tasks else "task_file"
        raise InvalidValueError(f"{name}: not together with tasks, of which what is not to be played is left out")
    if not tasks:
        raise InvalidValueError("tasks is empty: give at least one task")
    check_tasks(tasks)
    return tuple(tasks)


def check_selection(
    source: str,
    split: str,
    task_subset: str,
    task_version: str | float | None = None,
    domain: str = "retail",
    *,
    exclude_tasks: Sequence[str] = (),
    task_file: str | None = None,
) -> None:
    """Refuse what `load_tasks` refuses; no task is generated for it unless tasks are left out.

    Raises:
        InvalidValueError: see `load_tasks`.
        MissingDependencyError: the package that carries the source's data is not installed.
    """
    origin = get_source(source, task_version, domain)
    if not isinstance(split, str):
        raise _unknown_split(origin, split)
    if not isinstance(task_subset, str):
        raise unknown("task_subset", task_subset, SUBSETS)
    # What can be gone through once only would leave out nothing: it is gone through several times.
    if isinstance(exclude_tasks, (str, bytes, Mapping)) or not isinstance(exclude_tasks, Collection):
        raise InvalidValueError(f"exclude_tasks: found {exclude_tasks!r}, expected a list of task ids")
    _check_selection(origin, split, task_subset, tuple(map(str, exclude_tasks)), stamped(task_file))


def source_and_split(task_file: str) -> tuple[str, str]:
    """The source and split that the first task of a file says.

    Raises:
        InvalidValueError: the file cannot be read, or holds no task.
    """
    stamped(task_file)
    for task in read_tasks(Path(task_file).expanduser()):
        return task.source, task.split
    raise InvalidValueError(f"task_file: {task_file} holds no task")


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
        versions = ", ".join(sorted(repr(version) for version in found))
        raise InvalidValueError(
            f"tasks of source {source!r} have version {versions}"
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
    hint = f" Did you mean {ending[0]!r}?" if ending else nearest(str(task_id), ids)
    splits = {task.split for task in tasks}
    where = f", of split {tasks[0].split!r} alone" if len(splits) == 1 else ""
    raise InvalidValueError(
        f"Unknown task_id {task_id!r}; the {len(ids)} tasks are {ids[0]!r} to {ids[-1]!r}{where}.{hint}"
    )


Stamped = tuple[str, int, int]
"""A file as it is now: its whole path, when it was changed, and its bytes."""


def stamped(task_file: str | None) -> Stamped | None:
    """Tell a file from what it was before, so that it is read again where it was changed.

    Args:
        task_file: see `load_tasks`.

    Raises:
        InvalidValueError: there is no such file, or it is a folder.
    """
    if task_file is None:
        return None
    path = Path(task_file).expanduser().resolve()
    try:
        found = path.stat()
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from None
    if path.is_dir():
        raise _unreadable(path, "it is a folder")
    return str(path), found.st_mtime_ns, found.st_size


def _unreadable(path: Path, reason: str) -> InvalidValueError:
    return InvalidValueError(
        f"task_file: {path} cannot be read ({reason}); write one with: tau-retail generate --output FILE"
    )


@functools.cache
def _all_tasks(source: Source, split: str) -> tuple[Task, ...]:
    whole = whole_of(split)
    return tuple(source.load(split) if whole == split else of_part(_all_tasks(source, whole), split))


@functools.lru_cache(maxsize=16)
def _file_tasks(source: Source, split: str, file: Stamped) -> tuple[Task, ...]:
    """The tasks of a file.

    Raises:
        InvalidValueError: it is none of tasks, holds none, one twice, one that cannot be judged, or those of another
            source, version or split.
    """
    tasks = read_tasks(file[0])
    if not tasks:
        raise InvalidValueError(f"task_file: {file[0]} holds no task")
    wanted = {"source": source.name, "version": source.version, "domain": source.domain, "split": split}
    for name, expected in wanted.items():
        if others := {getattr(task, name) for task in tasks} - {expected}:
            raise InvalidValueError(
                f"task_file: {file[0]} holds tasks whose {name} is {', '.join(sorted(map(repr, others)))}, expected "
                f"{expected!r} alone: say the source and split that the file was made for"
            )
    if (twice := collections.Counter(task.id for task in tasks).most_common(1)[0])[1] > 1:
        raise InvalidValueError(f"task_file: {file[0]} holds {twice[0]} {twice[1]} times")
    from tau_retail_env.sources.story_checks import check_stories  # late: pydantic, for a file of tasks alone

    try:
        check_tasks(tasks)
        check_gold_calls(tasks, source.shop().tools)
        check_stories(tasks, source.shop().tools)
    except InvalidValueError as error:
        raise InvalidValueError(f"task_file: {file[0]}: {error}") from None
    return tuple(tasks)


def _tasks_of(source: Source, split: str, file: Stamped | None) -> tuple[Task, ...]:
    return _all_tasks(source, split) if file is None else _file_tasks(source, split, file)


@functools.cache
def _brought() -> dict[tuple[Source, str, str, tuple[str, ...], Stamped | None], tuple[Task, ...]]:
    """What `bring_tasks` was given, by what `_selected_tasks` is asked for."""
    return {}


@functools.lru_cache(maxsize=64)
def _selected_tasks(
    source: Source, split: str, task_subset: str, excluded: tuple[str, ...], file: Stamped | None
) -> tuple[Task, ...]:
    if (brought := _brought().get((source, split, task_subset, excluded, file))) is not None:
        return brought
    left_out = frozenset(excluded)
    tasks = [task for task in _tasks_of(source, split, file) if task.id not in left_out]
    return tuple(matching(tasks, task_subset))


# Every new environment asks, and the answer stays what it is: a trainer makes thousands of the same selection.
@functools.lru_cache(maxsize=64)
def _check_selection(
    source: Source, split: str, task_subset: str, excluded: tuple[str, ...], file: Stamped | None
) -> None:
    if (source, split, task_subset, excluded, file) in _brought():
        return  # checked where they were loaded
    if split not in with_parts(source.splits()):
        raise _unknown_split(source, split)
    if excluded or file is not None:
        tasks, left_out = _tasks_of(source, split, file), frozenset(excluded)
        _check_excluded(tasks if file is not None else _all_tasks(source, whole_of(split)), excluded)
        examples: Sequence[Task] = [task for task in tasks if task.id not in left_out]
    else:
        examples = source.examples(whole_of(split))
    if not matching(examples, task_subset):
        raise _empty_selection(source, split, task_subset, excluded, file and file[0])


def _unknown_split(source: Source, split: Any) -> InvalidValueError:
    return unknown(f"split of source {source.name!r}", split, with_parts(source.splits()))


def _check_excluded(tasks: Sequence[Task], excluded: Iterable[str]) -> None:
    """Refuse to leave out what is not there: the id that was meant would be played.

    Raises:
        InvalidValueError: an id that no task has; the message names the nearest one.
    """
    for task_id in excluded:
        try:
            find_task(tasks, task_id)
        except InvalidValueError as error:
            raise InvalidValueError(f"exclude_tasks: {error}") from None


def _empty_selection(
    source: Source, split: str, expression: str, excluded: Sequence[str], task_file: str | None
) -> InvalidValueError:
    what = f"task_subset {expression!r} of source {source.name!r}, split {split!r}"
    if task_file is not None or (excluded and matching(source.examples(whole_of(split)), expression)):
        rest = f" once {len(excluded)} tasks are left out (exclude_tasks)" if excluded else ""
        return InvalidValueError(f"{what}{f', in {task_file},' if task_file else ''} is empty{rest}")
    elsewhere = [name for name in sorted(source.splits()) if matching(source.examples(name), expression)]
    remedy = f"It has tasks in split: {', '.join(elsewhere)}." if elsewhere else "No split of this source has any."
    return InvalidValueError(f"{what} is empty. {remedy}")
