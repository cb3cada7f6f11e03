"""The corrected reward: the errors of upstream's tools and gold actions that are known, and judging without them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
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
V1 = "https://github.com/sierra-research/tau-bench/blob/59a200c6d575d595120f1cb70fea53cef0632f6b/tau_bench/envs/retail"
V1_WITHOUT_THE_MONEY = "24 27 81 148 161 214 229 252 253 288 314 349 351 369 376 427 431 441 469".split()
V1_UNPAID_WRITES = frozenset(
    """
    exchange_delivered_order_items #W1539823 gift_card_6023546
    exchange_delivered_order_items #W4352605 gift_card_1401311
    exchange_delivered_order_items #W7449508 gift_card_7711863
    modify_pending_order_items #W2541482 gift_card_3377580
    modify_pending_order_items #W4614740 gift_card_1139567
    modify_pending_order_items #W6151519 gift_card_5193172
    modify_pending_order_items #W7147989 gift_card_5917510
    modify_pending_order_items #W7430166 gift_card_9708163
    modify_pending_order_items #W8296441 gift_card_5701566
    modify_pending_order_items #W8835847 gift_card_2652153
    modify_pending_order_items #W9655299 gift_card_6023546
    modify_pending_order_payment #W1620235 gift_card_6023546
    modify_pending_order_payment #W4284542 gift_card_9368765
    modify_pending_order_payment #W5199551 gift_card_1675628
    modify_pending_order_payment #W5911003 gift_card_4855547
    modify_pending_order_payment #W6368178 gift_card_8070316
    modify_pending_order_payment #W6885344 gift_card_7588375
    modify_pending_order_payment #W6958840 gift_card_5730441
    modify_pending_order_payment #W6979932 gift_card_5979071
    modify_pending_order_payment #W7602708 gift_card_8893815
    """.strip().split("\n    ")
)
V1_FOR_ITSELF = (
    "5 7 8 10 22 34 35 42 53 55 64 70 130 136 142 144 145 150 154 192 206 244 267 268 288 290 305 321 328 331 334 "
    "337 353 361 368 376 389 395 402 410 412 416 444 451 464 473 497".split()
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
    """Gold writes that are left out, by tool, order and payment method: the shop refuses them."""
    is_without_itself: bool = False
    """Whether items that the gold actions take for themselves are left out, and writes that name no other."""

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
        left_out=frozenset({"return_delivered_order_items #W5490111 paypal_9497703"}),
    ),
    Correction(
        id="exchange-for-an-unavailable-item",
        sources=("tau2",),
        versions=("verified",),
        tasks=("18", "91"),
        reason="the gold action takes a variant that is not available, which the shop refuses",
        link=VERIFIED_FIXES,
        left_out=frozenset(
            {
                "exchange_delivered_order_items #W2890441 credit_card_1061405",
                "exchange_delivered_order_items #W3239882 credit_card_5902940",
            }
        ),
    ),
    Correction(
        id="gift-card-without-the-money",
        sources=("tau_bench",),
        tasks=tuple(f"train/{number}" for number in V1_WITHOUT_THE_MONEY),
        reason="the gold action pays with a gift card that does not hold enough, which the shop refuses",
        link=f"{V1}/tasks_train.py",
        left_out=V1_UNPAID_WRITES,
    ),
    Correction(
        id="item-for-itself",
        sources=("tau_bench",),
        tasks=tuple(f"train/{number}" for number in V1_FOR_ITSELF),
        reason="the gold action takes an item for itself, where the domain policy wants another option of the product; "
        "the customer names no other option either",
        link=f"{V1}/wiki.md",
        is_without_itself=True,
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
            task = dataclasses.replace(task, actions=tuple(_corrected(task.actions, one)))
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
    corrected = corrected_task(task)
    writes = [one.call for one in calls if not one.failed and one.call.name in WRITE_TOOLS]
    names = {write.name for write in writes} | {action.name for action in corrected.actions}
    if not names & MENDED_TOOLS:
        return changes, shop.gold_changes(task) if corrected is task else shop.corrected.gold_changes(corrected)
    world = shop.corrected.open()
    for write in writes:
        world.call(write)
    return world.changes(), shop.corrected.gold_changes(corrected)


def _place(task: Task) -> str:
    return task.id.partition("/")[2]


def _corrected(actions: Iterable[Action], by: Correction) -> Iterator[Action]:
    """Gold actions as they should be."""
    for action in actions:
        name = f"{action.name} {action.arguments.get('order_id')} {action.arguments.get('payment_method_id')}"
        if name in by.left_out:
            continue
        others = _without_itself(action) if by.is_without_itself else _replaced(action, by.replaced)
        if others is not None:
            yield others


def _without_itself(action: Action) -> Action | None:
    """The action without the items that it takes for themselves; None where it names no other."""
    if "new_item_ids" not in action.arguments:
        return action
    pairs = zip(action.arguments["item_ids"], action.arguments["new_item_ids"], strict=True)
    kept = [(old, new) for old, new in pairs if old != new]
    if not kept:
        return None
    old_items, new_items = map(list, zip(*kept, strict=True))
    return dataclasses.replace(action, arguments={**action.arguments, "item_ids": old_items, "new_item_ids": new_items})


def _replaced(action: Action, others: Mapping[str, str]) -> Action:
    """The action with new items replaced by others."""
    named = action.arguments.get("new_item_ids", ())
    if action.name not in WRITE_TOOLS or not others.keys() & set(named):
        return action
    arguments: dict[str, Any] = {**action.arguments, "new_item_ids": [others.get(item, item) for item in named]}
    return dataclasses.replace(action, arguments=arguments)
