"""Drawing more of the kinds of parts that an agent failed at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from tau_retail_env.sources.generated.series import PartKind
from tau_retail_env.tasks.task import Task
from tau_retail_env.tasks.writes import gold_writes

MOST_EXTRA = 9
"""A kind that failed in every episode is drawn this many times more than usual, besides its usual share."""
UNIT = 10
"""Weights are whole numbers: an unchanged kind keeps this multiple of its own."""
KINDS_OF_TOOL: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "exchange_delivered_order_items": ("exchange", "fallback", "other_choice"),
        "modify_pending_order_items": ("modify", "fallback", "other_choice"),
        "return_delivered_order_items": ("return", "condition", "fewer_items"),
        "cancel_pending_order": ("cancel", "cancel_all"),
        "modify_pending_order_payment": ("payment", "split_payment"),
        "modify_pending_order_address": ("address", "move"),
        "modify_user_address": ("profile", "move"),
    }
)
"""The kinds that a task of another source stands for, by its gold writes."""


def weights_after(played: Iterable[tuple[Task, bool]], kinds: Mapping[str, PartKind]) -> dict[str, int]:
    """How often each kind of part is to be drawn after some episodes.

    Args:
        played: the task of each episode, and whether it was won.
        kinds: those of the series that is to be drawn.

    Returns:
        A weight for every kind, for `Series.generate`: its usual one, and up to ten times that with the share of the
        episodes that were lost among those whose task has the kind.
    """
    had: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    for task, won in played:
        own = kinds_of(task, kinds)
        had.update(own)
        lost.update([] if won else own)
    return {
        name: round(UNIT * kind.weight * (1 + MOST_EXTRA * (lost[name] / had[name] if had[name] else 0.0)))
        for name, kind in kinds.items()
    }


def kinds_of(task: Task, kinds: Mapping[str, PartKind]) -> set[str]:
    """The kinds of part that a task has, or, where it has none of these labels, that are like its gold writes."""
    labelled = set(task.labels) & set(kinds)
    return labelled or {kind for action in gold_writes(task) for kind in KINDS_OF_TOOL[action.name]}
