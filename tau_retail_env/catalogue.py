"""Finds tasks and writes them out for a person: one line each, or one task whole."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tau_retail_env.errors import unknown
from tau_retail_env.tasks import SUBSETS, Action, Task, find_task, load_tasks
from tau_retail_env.tasks.load import SOURCES
from tau_retail_env.world import open_shop

TEXT_WIDTH = 100
"""Columns of running text."""


def task_by_id(task_id: str, source: str = "tau2") -> Task:
    """Find a task by its id alone, in whichever split has it.

    Args:
        task_id: "tau2/12", "generated/train/7", or the same without the source ("12", "train/7").
        source: where an id without its source belongs.

    Returns:
        The task as the smallest split that has it loads it.

    Raises:
        InvalidValueError: no such source, split or task; the message names the nearest one.
    """
    if task_id.split("/")[0] not in SOURCES:
        task_id = f"{source}/{task_id}"
    source, *split, _ = task_id.split("/")
    if source not in SOURCES:
        raise unknown("source", source, SOURCES)
    names = split or sorted(SOURCES[source].splits())
    smallest_last = sorted((load_tasks(source, name) for name in names), key=len, reverse=True)
    tasks = {task.id: task for split in smallest_last for task in split}
    return find_task(list(tasks.values()), task_id)


def subset_names(task: Task) -> list[str]:
    """The names of the subsets that a task belongs to, "all" aside."""
    return [name for name, holds in SUBSETS.items() if name != "all" and holds(task)]


def with_words(tasks: Iterable[Task], words: str) -> list[Task]:
    """Keep the tasks in whose instruction, persona or gold actions every one of the words occurs, case aside."""
    wanted = words.lower().split()
    return [task for task in tasks if all(word in _searchable(task) for word in wanted)]


def _searchable(task: Task) -> str:
    parts = (task.id, task.instruction, task.scenario.persona or "", *map(call_text, task.actions), *task.outputs)
    return "\n".join(parts).lower()


def summary(task: Task, width: int) -> str:
    """One line: id, subsets, the first words of the instruction.

    Args:
        task: the task.
        width: columns of the line.
    """
    start = f"{task.id:<22} {', '.join(subset_names(task)):<24} "
    return start + textwrap.shorten(task.instruction, max(width - len(start), 20), placeholder=" …")


def counts(tasks: Sequence[Task], of: int) -> str:
    """One line: how many tasks there are, and how many in each subset.

    Args:
        tasks: those listed.
        of: how many there were to choose from.
    """
    names = [name for task in tasks for name in subset_names(task)]
    by_subset = ", ".join(f"{name} {names.count(name)}" for name in SUBSETS if name in names)
    total = f"{len(tasks)} of {of} tasks" if len(tasks) != of else f"{of} tasks"
    return f"{total}: {by_subset}" if by_subset else total


def success_by_subset(tasks: Sequence[Task], succeeded: Mapping[str, bool]) -> str:
    """A line for each subset and one for all: how many of the tasks in it succeeded.

    Args:
        tasks: those played.
        succeeded: by task id, whether it did.
    """
    lines = []
    for name, holds in SUBSETS.items():
        results = [succeeded[task.id] for task in tasks if holds(task)]
        if results and name != "all":
            lines.append(f"{name:<14} {sum(results):>6} of {len(results)}")
    return "\n".join([*lines, f"{'all':<14} {sum(succeeded.values()):>6} of {len(succeeded)}"])


def description(task: Task) -> str:
    """The whole task as text: request, what the customer is told, gold actions and what they change, outputs."""
    told = task.scenario
    parts = (told.reason_for_call, told.known_info, told.unknown_info, told.task_instructions)
    is_repeated = task.instruction == "\n".join(part for part in parts if part)
    sections = {
        f"{task.id} ({task.source}, {task.domain}, split {task.split}; {', '.join(subset_names(task))})": "",
        "Customer": task.user_id or "unknown",
        "Instruction": None if is_repeated else task.instruction,
        "Persona": told.persona,
        "Reason for the call": told.reason_for_call,
        "Known": told.known_info,
        "Unknown": told.unknown_info,
        "Further instructions": told.task_instructions,
    }
    lines = []
    for title, text in sections.items():
        if text is not None:
            lines += [title, *_indented(text)]
    lines += ["Gold actions", *(f"  {call_text(action)}" for action in task.actions)]
    lines += ["What they change", *(f"  {change}" for change in gold_changes(task) or ["nothing"])]
    lines += ["Outputs to communicate", *(f"  {output}" for output in task.outputs or ["none"])]
    return "\n".join(lines)


def _indented(text: str) -> list[str]:
    indent = "  "
    return [
        textwrap.fill(line, TEXT_WIDTH, initial_indent=indent, subsequent_indent=indent)
        for line in text.splitlines()
        if line.strip()
    ]


def call_text(action: Action) -> str:
    """A call as a reader expects it: name(argument="value", …)."""
    arguments = ", ".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in action.arguments.items())
    requestor = "" if action.requestor == "assistant" else f"  [by the {action.requestor}]"
    return f"{action.name}({arguments}){requestor}"


def gold_changes(task: Task) -> list[str]:
    """What the gold actions change in the database, a line for each field: table, id, field, before -> after."""
    shop = open_shop(task.source)
    lines = []
    for (table, entry_id), after in shop.gold_changes(task).items():
        before = _fields(shop.database[table].get(entry_id, {}))
        fields = _fields(json.loads(after))
        for name in sorted(before.keys() | fields.keys()):
            if before.get(name) != fields.get(name):
                lines.append(f"{table} {entry_id} {name}: {_short(before.get(name))} -> {_short(fields.get(name))}")
    return lines


def _fields(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry's values by dotted path; what is null or empty counts as absent."""
    return {path: value for path, value in _leaves(entry, "") if value not in (None, [], {})}


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        children: Iterable[tuple[Any, Any]] = value.items()
    elif isinstance(value, list) and any(isinstance(entry, Mapping) for entry in value):
        children = enumerate(value)
    else:
        yield path, value
        return
    for key, child in children:
        yield from _leaves(child, f"{path}.{key}" if path else str(key))


def _short(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)
