"""Finds tasks and writes them out for a person: one line each, one task whole, or how many there are of each kind."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tau_retail_env.errors import InvalidValueError, unknown
from tau_retail_env.messages import ToolCall
from tau_retail_env.sources import SOURCES, find_task, get_source, load_tasks
from tau_retail_env.sources.registry import source_of
from tau_retail_env.tasks import SUBSETS, Action, Task
from tau_retail_env.world.entries import entry_fields

TEXT_WIDTH = 80
"""Columns of running text."""


def task_by_id(task_id: str, source: str = "tau2", task_version: str | None = None) -> Task:
    """Find a task by its id alone, in whichever split has it.

    Args:
        task_id: "tau2/12", "tau_bench/test/12", "generated/train/7", or the same without the source ("12", "train/7").
        source: where an id without its source belongs.
        task_version: which edition of the source's tasks; None for the source's default.

    Returns:
        The task as the smallest split that has it loads it.

    Raises:
        InvalidValueError: no such source, split or task; the message names the nearest one.
        MissingDependencyError: the source is not installed.
    """
    first = task_id.split("/")[0]
    if first == task_id or first not in SOURCES:
        if first != task_id and first not in get_source(source).splits():
            raise _unknown_beginning(task_id, first, source)
        task_id = f"{source}/{task_id}"
    source, *split, _ = task_id.split("/")
    names = split or sorted(get_source(source).splits())
    smallest_last = sorted(
        (load_tasks(source, name, task_version=task_version) for name in names), key=len, reverse=True
    )
    tasks = {task.id: task for split in smallest_last for task in split}
    return find_task(list(tasks.values()), task_id)


def _unknown_beginning(task_id: str, first: str, source: str) -> InvalidValueError:
    return InvalidValueError(
        f"Task {task_id[:60]!r}: {unknown('source', first, SOURCES)} Nor is it a split of {source!r} "
        f"({', '.join(get_source(source).splits())}). Every source has tasks of the domain retail only"
    )


def subset_names(task: Task) -> list[str]:
    """The names of the subsets that a task belongs to, "all" aside."""
    return [name for name, holds in SUBSETS.items() if name != "all" and holds(task)]


def with_words(tasks: Iterable[Task], words: str) -> list[Task]:
    """Keep the tasks in whose id, customer, instruction, gold actions and outputs all the words occur, case aside."""
    wanted = words.lower().split()
    return [task for task in tasks if all(word in _searchable(task) for word in wanted)]


def _searchable(task: Task) -> str:
    texts = (task.id, task.user_id, task.instruction, task.scenario.persona)
    return "\n".join([part for part in texts if part] + [*map(call_text, task.actions), *task.outputs]).lower()


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


def subset_counts(sources: Iterable[str]) -> dict[tuple[str, str], dict[str, int]]:
    """How many tasks every subset has.

    Args:
        sources: names of sources that are installed.

    Returns:
        By source and split, in the sources' own order: the number of tasks by subset.

    Raises:
        InvalidValueError: an unknown source.
        MissingDependencyError: a source that is not installed.
    """
    table: dict[tuple[str, str], dict[str, int]] = {}
    for source in sources:
        for split in get_source(source).splits():
            tasks = load_tasks(source, split)
            table[source, split] = {name: sum(map(holds, tasks)) for name, holds in SUBSETS.items()}
    return table


def as_markdown(table: Mapping[tuple[str, str], Mapping[str, int]]) -> str:
    """The counts of `subset_counts` as a Markdown table: a line for each subset, a column for each split."""
    lines = [
        ["subset", *(f"{source} {split}" for source, split in table)],
        ["---", *("---:" for _ in table)],
        *([name, *(f"{column[name]}" for column in table.values())] for name in SUBSETS),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def briefing(task: Task) -> str:
    """The customer's part of a task as text: who they are, what they want, what they know."""
    scenario = task.scenario
    parts = (scenario.reason_for_call, scenario.known_info, scenario.unknown_info, scenario.task_instructions)
    is_repeated = task.instruction == "\n".join(part for part in parts if part)
    sections = {
        "Customer": task.user_id or "unknown",
        "Instruction": None if is_repeated else task.instruction,
        "Persona": scenario.persona,
        "Reason for the call": scenario.reason_for_call,
        "Known": scenario.known_info,
        "Unknown": scenario.unknown_info,
        "Further instructions": scenario.task_instructions,
    }
    lines = []
    for title, text in sections.items():
        if text is not None:
            lines += [title, *_indented(text)]
    return "\n".join(lines)


def description(task: Task) -> str:
    """The whole task as text: request, the customer's instructions, gold actions and what they change, outputs."""
    gold = play_gold(task)
    lines = [f"{task.id} ({task.source}, {task.domain}, split {task.split}; {', '.join(subset_names(task))})"]
    lines += [briefing(task), "Gold actions"]
    for action, failure in zip(task.actions, gold.failures, strict=True):
        lines += [f"  {call_text(action)}", *([f"    fails: {failure}"] if failure else [])]
    lines += ["What they change", *(f"  {change}" for change in gold.changes or ["nothing"])]
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


@dataclass(frozen=True, slots=True)
class Gold:
    """What happens when a task's gold actions are played."""

    failures: tuple[str | None, ...]
    """For each gold action the text with which upstream's tool refuses it, None where it does not."""
    changes: tuple[str, ...]
    """A line for each field that differs at the end: table, id, field, before -> after."""


def play_gold(task: Task) -> Gold:
    """Play the gold actions in a shop of their own, on upstream's tools.

    Args:
        task: a task of an installed source.

    Raises:
        MissingDependencyError: the source is not installed.
    """
    shop = source_of(task).shop()
    world = shop.open()
    results = [
        world.call(ToolCall(action.name, action.arguments), requestor=action.requestor) for action in task.actions
    ]
    lines = []
    for table, entry_id in world.changes():
        before, after = (entry_fields(one, table, entry_id) for one in (shop.open(), world))
        for name in sorted(before.keys() | after.keys()):
            if before.get(name) != after.get(name):
                lines.append(f"{table} {entry_id} {name}: {_short(before.get(name))} -> {_short(after.get(name))}")
    return Gold(tuple(result.content if result.error else None for result in results), tuple(lines))


def _short(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)
