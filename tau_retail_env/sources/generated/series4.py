"""The fourth series of generated tasks: questions of every kind, second thoughts, several items and orders at once."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tau_retail_env.sources.generated import afterthoughts, callers, dealings, everyday, facts, series3
from tau_retail_env.sources.generated.series import PartKind, Series

SHARES: Mapping[str, int] = MappingProxyType(
    {
        "exchange": 30,
        "modify": 36,
        "return": 10,
        "cancel": 12,
        "cancel_all": 8,
        "address": 20,
        "profile": 1,
        "move": 12,
        "bit_by_bit": 16,
        "last_resort": 14,
        "errands": 10,
        "fallback": 12,
        "number_first": 8,
        "other_choice": 8,
        "part_of_an_order": 2,
        "other_refund": 2,
        "price": 2,
        "tracking": 2,
        "total": 2,
        "sum": 3,
        "difference": 3,
        "balance": 1,
        "twins": 8,
        "out_of_scope": 1,
        "chatter": 1,
        "part_of_an_address": 6,
    }
)
"""Kinds of the third series that are drawn in other numbers here; the others as there."""
LEFT_OUT = frozenset({"option", "destination"})
"""Kinds of the third series that others here ask for in more words."""
NEW: Mapping[str, PartKind] = MappingProxyType(
    {
        "status": PartKind(5, facts.single(facts.status)),
        "street": PartKind(5, facts.single(facts.street)),
        "zip_code": PartKind(2, facts.single(facts.zip_code)),
        "paid_with": PartKind(8, facts.single(facts.paid_with)),
        "item_count": PartKind(6, facts.single(facts.item_count)),
        "order_count": PartKind(1, facts.order_count),
        "option_in_words": PartKind(8, facts.single(facts.option_in_words)),
        "extreme": PartKind(6, facts.single(facts.extreme)),
        "all_but_one": PartKind(5, facts.single(facts.all_but_one)),
        "twins_told": PartKind(6, facts.twins_told),
        "at_once": PartKind(11, facts.at_once),
        "in_a_row": PartKind(18, facts.in_a_row),
        "asked_midway": PartKind(26, afterthoughts.asked_midway),
        "money_after": PartKind(20, afterthoughts.money_after),
        "gift_card_short": PartKind(22, afterthoughts.gift_card_short),
        "refund_elsewhere": PartKind(18, afterthoughts.refund_elsewhere),
        "put_back": PartKind(5, afterthoughts.put_back),
        "one_order_and_home": PartKind(8, afterthoughts.one_order_and_home),
        "cancel_some": PartKind(30, dealings.cancel_some),
        "dearer_of_two": PartKind(10, dealings.dearer_of_two),
        "all_but": PartKind(20, dealings.all_but),
        "two_deliveries": PartKind(30, dealings.two_deliveries),
        "both_twins": PartKind(10, dealings.both_twins),
        "bought_twice": PartKind(8, dealings.bought_twice),
        "more_items": PartKind(14, dealings.more_items),
        "under_a_price": PartKind(16, dealings.under_a_price),
    }
)
"""The kinds of part that only this series has."""
KINDS: Mapping[str, PartKind] = MappingProxyType(
    {
        name: PartKind(SHARES.get(name, kind.weight), kind.build)
        for name, kind in series3.KINDS.items()
        if name not in LEFT_OUT
    }
    | dict(NEW)
)
"""The kinds of part by name; a task's labels name those that it has."""
SERIES4 = Series(
    number=4,
    kinds=KINDS,
    counts=MappingProxyType({"train4": 10_000, "test4": 1_000}),
    begin=callers.begin,
    retell=everyday.in_style,
    avoided=series3.WRITES_OF_OTHER_EDITIONS,
)
