"""Assertions that the agent did something: read from its successful writes, compared with the gold ones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tau_retail_env.messages import ToolCall
from tau_retail_env.world.assertions.evidence import Evidence

CANCEL = "cancel_pending_order"
EXCHANGE = "exchange_delivered_order_items"
MODIFY_ITEMS = "modify_pending_order_items"
MODIFY_ADDRESS = "modify_pending_order_address"
MODIFY_PROFILE = "modify_user_address"


@dataclass(frozen=True, slots=True)
class Did:
    """The agent did what the gold actions do with some tools."""

    tools: frozenset[str]
    """Which tools."""

    def holds(self, evidence: Evidence) -> bool:
        """Whether the last successful call about each order or customer is the gold one.

        Where the shop refuses the gold call itself, asking for it is all that can be done.

        Args:
            evidence: the calls, and how to play the gold ones.
        """
        gold = [called for called in evidence.gold() if called.call.name in self.tools]
        done = {_about(called.call): _canonical(called.call) for called in evidence.calls if not called.failed}
        tried = [_canonical(called.call) for called in evidence.calls]
        return bool(gold) and all(
            wanted in tried if called.failed else done.get(_about(called.call)) == wanted
            for called in gold
            for wanted in (_canonical(called.call),)
        )


def tools_of(deed: str) -> frozenset[str]:
    """The tools that do what a sentence says; empty where it says nothing that is known.

    Args:
        deed: such as "cancel all pending orders".
    """
    wanted = set()
    if re.match(r"cancel\b", deed, re.IGNORECASE):
        wanted.add(CANCEL)
    if re.search(r"\bexchanges?\b", deed, re.IGNORECASE):
        wanted.add(EXCHANGE)
    if re.match(r"(?:modify|make changes to)\b", deed, re.IGNORECASE):
        if re.search(r"\baddress\b.*\border\b|\baddress as requested", deed, re.IGNORECASE):
            wanted.add(MODIFY_ADDRESS)
        if re.search(r"\buser (?:profile|address)\b", deed, re.IGNORECASE):
            wanted.add(MODIFY_PROFILE)
        if re.search(r"\bitems\b|\bmodify the pending order", deed, re.IGNORECASE):
            wanted.add(MODIFY_ITEMS)
    return frozenset(wanted)


def _about(call: ToolCall) -> tuple[str, Any]:
    """What a write is about: its tool, and the order or else the customer."""
    return call.name, call.arguments.get("order_id") or call.arguments.get("user_id")


def _canonical(call: ToolCall) -> tuple[str, Mapping[str, Any]]:
    """A call in a form in which the order of its items does not count."""
    given = dict(call.arguments)
    items, new = given.pop("item_ids", None), given.pop("new_item_ids", None)
    if isinstance(items, list):
        pairs = zip(items, new, strict=False) if isinstance(new, list) else ((item, None) for item in items)
        given["items"] = sorted((str(item), str(other)) for item, other in pairs)
    return call.name, given
