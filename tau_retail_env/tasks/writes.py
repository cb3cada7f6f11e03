"""Which tools change the shop, and when two tasks ask for the same changes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tau_retail_env.tasks.task import Action, Task

WRITE_TOOLS = frozenset(
    {
        "cancel_pending_order",
        "exchange_delivered_order_items",
        "modify_pending_order_address",
        "modify_pending_order_items",
        "modify_pending_order_payment",
        "modify_user_address",
        "return_delivered_order_items",
    }
)
"""The tools that change the shop; every other tool reads, calculates or transfers."""


def gold_writes(task: Task) -> tuple[Action, ...]:
    """The gold actions that change the shop, in upstream's order."""
    return tuple(action for action in task.actions if action.name in WRITE_TOOLS)


def canonical_writes(task: Task) -> frozenset[str]:
    """The changes a task asks for, so that equal sets mean equal requests.

    Args:
        task: a task of any source.

    Returns:
        One string per distinct write: its name and its arguments as sorted JSON. The order of the items of a return or
        an exchange does not count; which new item replaces which old one does.
    """
    return frozenset(
        json.dumps([action.name, _canonical_arguments(action.arguments)], sort_keys=True)
        for action in gold_writes(task)
    )


def _canonical_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    canonical = dict(arguments)
    if "new_item_ids" in canonical:
        canonical["item_ids"] = sorted(zip(canonical["item_ids"], canonical.pop("new_item_ids"), strict=False))
    elif "item_ids" in canonical:
        canonical["item_ids"] = sorted(canonical["item_ids"])
    return canonical
