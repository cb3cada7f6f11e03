"""The fifth series of generated tasks: addresses that stand somewhere, refusals, orders by place, sums, sets."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tau_retail_env.sources.generated import asking, everyday, facts, patrons, places, series3, series4, sets, wishes
from tau_retail_env.sources.generated.series import PartKind, Series

PLAIN: Mapping[str, int] = MappingProxyType(
    {
        "exchange": 60,
        "modify": 60,
        "return": 52,
        "cancel": 42,
        "cancel_all": 12,
        "payment": 26,
        "address": 42,
        "profile": 4,
        "move": 20,
        "price": 9,
        "total": 9,
        "tracking": 9,
        "status": 9,
        "street": 9,
        "paid_with": 9,
        "option_in_words": 9,
        "extreme": 8,
    }
)
"""Plain requests and questions: a third of all parts."""
SORTED_OUT: Mapping[str, int] = MappingProxyType(
    {
        "fallback": 8,
        "late_cancellation": 5,
        "early_return": 5,
        "other_reason": 6,
        "late_redirection": 4,
        "split_payment": 5,
        "out_of_scope": 2,
        "impossible": 8,
        "chatter": 1,
        "condition": 4,
        "price_limit": 5,
        "other_choice": 6,
        "fewer_items": 5,
        "kept_after_all": 3,
        "bit_by_bit": 12,
        "same_again": 5,
        "last_resort": 8,
        "purpose": 16,
        "errands": 8,
        "like_another": 10,
        "part_of_an_address": 6,
        "asked_midway": 12,
        "money_after": 10,
        "gift_card_short": 8,
        "refund_elsewhere": 22,
        "put_back": 4,
        "one_order_and_home": 5,
        "cancel_some": 18,
        "dearer_of_two": 8,
        "all_but": 14,
        "two_deliveries": 12,
        "both_twins": 6,
        "bought_twice": 8,
        "more_items": 8,
        "in_a_row": 12,
        "at_once": 8,
        "all_but_one": 6,
        "twins_told": 5,
        "item_count": 4,
        "sum": 6,
        "difference": 4,
        "zip_code": 2,
    }
)
"""What else the fifth series has of the older ones."""
NEW: Mapping[str, PartKind] = MappingProxyType(
    {
        "order_elsewhere": PartKind(36, places.order_elsewhere),
        "home_elsewhere": PartKind(26, places.home_elsewhere),
        "both_elsewhere": PartKind(22, places.both_elsewhere),
        "address_then": PartKind(26, places.address_then),
        "address_then_payment": PartKind(10, places.address_then_payment),
        "return_and_exchange": PartKind(20, wishes.return_and_exchange),
        "returned_then_more": PartKind(8, wishes.returned_then_more),
        "changed_twice": PartKind(10, wishes.changed_twice),
        "not_like_another": PartKind(8, wishes.not_like_another),
        "not_in_stock": PartKind(22, wishes.not_in_stock),
        "no_further_step": PartKind(10, wishes.no_further_step),
        "cancelled_onto_another": PartKind(10, wishes.cancelled_onto_another),
        "other_kind_of_thing": PartKind(14, wishes.other_kind_of_thing),
        "each_its_own": PartKind(40, sets.each_its_own),
        "all_by_price": PartKind(26, sets.all_by_price),
        "same_once_more": PartKind(8, sets.same_once_more),
        "one_of_twins": PartKind(20, sets.one_of_twins),
        "one_of_two_orders": PartKind(24, sets.one_of_two_orders),
        "beyond_a_price": PartKind(10, sets.beyond_a_price),
        "two_by_price": PartKind(8, sets.two_by_price),
        "return_everything": PartKind(10, sets.return_everything),
        "cancel_all_but": PartKind(8, sets.cancel_all_but),
        "several_facts": PartKind(26, asking.several_facts),
        "option_by_name": PartKind(6, facts.single(asking.option_by_name)),
        "one_and_the_other": PartKind(8, asking.one_and_the_other),
        "orders_together": PartKind(10, asking.orders_together),
        "all_of_a_kind": PartKind(6, asking.all_of_a_kind),
        "gap_between": PartKind(8, asking.gap_between),
        "what_if": PartKind(14, asking.what_if),
        "which_and_how_much": PartKind(5, asking.which_and_how_much),
        "best_offer": PartKind(3, asking.best_offer),
        "heard_then_chosen": PartKind(20, asking.heard_then_chosen),
        "if_cheap_enough": PartKind(14, asking.if_cheap_enough),
        "only_wondering": PartKind(8, asking.only_wondering),
        "back_for_everything": PartKind(12, asking.back_for_everything),
    }
)
"""The kinds of part that only this series has."""
KINDS: Mapping[str, PartKind] = MappingProxyType(
    {name: PartKind(weight, series4.KINDS[name].build) for name, weight in {**PLAIN, **SORTED_OUT}.items()} | dict(NEW)
)
"""The kinds of part by name; a task's labels name those that it has."""
SERIES5 = Series(
    number=5,
    kinds=KINDS,
    counts=MappingProxyType({"train5": 10_000, "test5": 1_000}),
    begin=patrons.begin,
    retell=everyday.in_style,
    identify=patrons.identify,
    avoided=series3.WRITES_OF_OTHER_EDITIONS,
)
