"""The corrected reward: the errors of upstream's tools and gold actions that are known, and judging without them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from tau_retail_env.tasks.task import Action, Task
from tau_retail_env.tasks.writes import WRITE_TOOLS
from tau_retail_env.world.assertions import Called
from tau_retail_env.world.shop import Changes, Shop

MODIFY_ITEMS = "modify_pending_order_items"
TAU2_FIXES = "https://github.com/sierra-research/tau2-bench/commit/01e812d"
VERIFIED_FIXES = (
    "https://github.com/amazon-agi/tau2-bench-verified/blob/9d0d5ae0a5a80007ec15083448350bb9f8f1cc00/FIXES.md"
)


@dataclass(frozen=True, slots=True)
class Correction:
    """One error of upstream's, and what stands in its place."""

    id: str
    """Its name."""
    sources: tuple[str, ...]
    """Of which sources."""
    reason: str
    """What is wrong."""
    link: str
    """Where it is reported, or corrected."""
    versions: tuple[str | None, ...] = ()
    """Of which task versions, None for those of a source without versions; empty for all."""
    tasks: tuple[str, ...] = ()
    """Ids, without their source, of the tasks whose gold actions show it: "18" of tau2, "test/18" of tau_bench."""
    tool: str | None = None
    """The tool that a shop's `corrected` changes; it concerns every task in which it is called."""
    replaced: Mapping[str, str] = field(default_factory=dict)
    """For new items that the gold actions name, those that they should."""
    left_out: frozenset[str] = frozenset()
    """Ids whose gold writes are left out: the shop refuses them."""

    def concerns(self, task: Task) -> bool:
        """Whether it changes a task's gold actions."""
        of_its_version = not self.versions or task.version in self.versions
        return self.tool is None and of_its_version and task.source in self.sources and _place(task) in self.tasks


CORRECTIONS: tuple[Correction, ...] = (
    Correction(
        id="each-item-its-own-variant",
        sources=("tau2", "generated"),
        reason="modify_pending_order_items writes the last new variant's price and options to every item that it "
        "changes, so the order is corrupted, and differs with the order in which the items are listed",
        link="https://github.com/sierra-research/tau2-bench/pull/322",
        tasks=("20", "21", "36", "37", "100"),
        tool=MODIFY_ITEMS,
    ),
    Correction(
        id="exchange-for-another-item",
        sources=("tau2", "tau_bench"),
        versions=("0.2", None),
        tasks=("18", "91", "107", "test/18", "test/91", "test/108"),
        reason="the gold action exchanges an item for itself, which the domain policy forbids; release 1.0 takes "
        "another variant",
        link=TAU2_FIXES,
        replaced=MappingProxyType({"8069050545": "1071497737", "9494281769": "7609274509", "1615379700": "8106223139"}),
    ),
    Correction(
        id="refund-to-a-foreign-method",
        sources=("tau2", "tau_bench"),
        versions=("0.2", None),
        tasks=("12", "13", "test/12", "test/13"),
        reason="the gold action refunds to a PayPal account that did not pay, which the shop refuses",
        link=TAU2_FIXES,
        left_out=frozenset({"paypal_9497703"}),
    ),
    Correction(
        id="exchange-for-an-unavailable-item",
        sources=("tau2",),
        versions=("verified",),
        tasks=("18", "91"),
        reason="the gold action takes a variant that is not available, which the shop refuses",
        link=VERIFIED_FIXES,
        left_out=frozenset({"3609437808", "6268080249"}),
    ),
)
"""All corrections; docs/rewards.md shows them."""
MENDED_TOOLS = frozenset(one.tool for one in CORRECTIONS if one.tool)


def corrected_task(task: Task) -> Task:
    """A task with the gold actions that it should have; the same object where nothing is wrong with them.

    Args:
        task: of any source and version; one that is corrected already stays as it is.
    """
    for one in CORRECTIONS:
        if one.concerns(task):
            kept = [action for action in task.actions if not _holds(action, one.left_out)]
            task = dataclasses.replace(task, actions=tuple(_replaced(action, one.replaced) for action in kept))
    return task


def corrected_changes(shop: Shop, task: Task, calls: Iterable[Called], changes: Changes) -> tuple[Changes, Changes]:
    """What an episode and the gold actions change, both in the corrected shop.

    The agent saw upstream's tool results, errors of the tools included: only what its successful writes do is judged
    anew.

    Args:
        shop: where the episode was played.
        task: its task.
        calls: the agent's calls, in order.
        changes: what the episode changed in upstream's shop.

    Returns:
        The episode's changes, and those of the corrected gold actions.
    """
    task = corrected_task(task)
    writes = [one.call for one in calls if not one.failed and one.call.name in WRITE_TOOLS]
    names = {write.name for write in writes} | {action.name for action in task.actions}
    if not names & MENDED_TOOLS:
        return changes, shop.corrected.gold_changes(task)
    world = shop.corrected.open()
    for write in writes:
        world.call(write)
    return world.changes(), shop.corrected.gold_changes(task)


def _place(task: Task) -> str:
    return task.id.partition("/")[2]


def _holds(action: Action, ids: Iterable[str]) -> bool:
    given = action.arguments
    named = {given.get("payment_method_id"), *given.get("new_item_ids", ())}
    return action.name in WRITE_TOOLS and not named.isdisjoint(ids)


def _replaced(action: Action, others: Mapping[str, str]) -> Action:
    """The action with new items replaced by others."""
    named = action.arguments.get("new_item_ids", ())
    if action.name not in WRITE_TOOLS or not others.keys() & set(named):
        return action
    arguments: dict[str, Any] = {**action.arguments, "new_item_ids": [others.get(item, item) for item in named]}
    return dataclasses.replace(action, arguments=arguments)
