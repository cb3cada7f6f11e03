"""Named kinds of tasks, and selecting tasks by an expression of their names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from tau_retail_env.errors import InvalidValueError, unknown
from tau_retail_env.tasks.task import Task
from tau_retail_env.tasks.writes import gold_writes

DIFFICULTIES = ("easy", "medium", "hard")
"""The labels that say how much a task asks of an agent."""


def _asks_for(tool: str) -> Callable[[Task], bool]:
    return lambda task: any(action.name == tool for action in task.actions)


def _labelled(label: str) -> Callable[[Task], bool]:
    return lambda task: label in task.labels


SUBSETS: Mapping[str, Callable[[Task], bool]] = MappingProxyType(
    {
        "all": lambda task: True,
        "returns": _asks_for("return_delivered_order_items"),
        "exchanges": _asks_for("exchange_delivered_order_items"),
        "cancellations": _asks_for("cancel_pending_order"),
        "modifications": _asks_for("modify_pending_order_items"),
        "address": _asks_for("modify_pending_order_address"),
        "payment": _asks_for("modify_pending_order_payment"),
        "profile": _asks_for("modify_user_address"),
        "transfer": _asks_for("transfer_to_human_agents"),
        "lookup": lambda task: len(gold_writes(task)) == 0,
        "single": lambda task: len(gold_writes(task)) == 1,
        "multi": lambda task: len(gold_writes(task)) >= 2,
        **{label: _labelled(label) for label in DIFFICULTIES},
    }
)
"""Whether a task belongs to a subset, by the subset's name."""


def matching(tasks: Iterable[Task], expression: str) -> list[Task]:
    """Keep the tasks that an expression of subset names describes, which may be none.

    Args:
        tasks: tasks of any source.
        expression: names of `SUBSETS`; `a+b` is the union, `a*b` the intersection and binds tighter.

    Returns:
        The matching tasks in the order given.

    Raises:
        InvalidValueError: a name in the expression is not in `SUBSETS`.
    """
    alternatives = _parse(expression)
    return [task for task in tasks if any(all(SUBSETS[name](task) for name in names) for names in alternatives)]


def select_subset(tasks: Iterable[Task], expression: str) -> list[Task]:
    """Keep the tasks that an expression of subset names describes.

    Args:
        tasks: tasks of any source.
        expression: names of `SUBSETS`; `a+b` is the union, `a*b` the intersection and binds tighter, so that
            `single*returns+single*address` is single returns and single changes of an order's address.

    Returns:
        The matching tasks in the order given, at least one.

    Raises:
        InvalidValueError: a name in the expression is not in `SUBSETS`, or no task matches.
    """
    tasks = list(tasks)
    selected = matching(tasks, expression)
    if not selected:
        places = sorted({f"source {task.source!r}, split {task.split!r}" for task in tasks})
        where = f"the {len(tasks)} tasks of {'; '.join(places)}" if places else "an empty list of tasks"
        raise InvalidValueError(f"task_subset {expression!r} selects nothing from {where}. Choose another subset.")
    return selected


def _parse(expression: str) -> list[list[str]]:
    """The names of an expression: a list of alternatives, each a list of names that must all hold."""
    if not isinstance(expression, str):
        raise unknown("task_subset", expression, SUBSETS)
    alternatives = [[name.strip() for name in part.split("*")] for part in expression.split("+")]
    for name in (name for names in alternatives for name in names):
        if name not in SUBSETS:
            kind = "task_subset" if name == expression else f"name in task_subset {expression!r}:"
            raise unknown(kind, name, SUBSETS)
    return alternatives
