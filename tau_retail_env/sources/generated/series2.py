"""The second series of generated tasks, made like the benchmark's: splits train2 and test2 of the source."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tau_retail_env.sources.generated import changes, questions, refusals
from tau_retail_env.sources.generated.series import PartKind, Series
from tau_retail_env.sources.generated.visit import Row, Visit
from tau_retail_env.sources.generated.wording import Wording
from tau_retail_env.tasks.seeding import Draws

KINDS: Mapping[str, PartKind] = MappingProxyType(
    {
        "exchange": PartKind(48, changes.exchange),
        "modify": PartKind(52, changes.modify),
        "return": PartKind(36, changes.send_back),
        "cancel": PartKind(18, changes.cancel),
        "cancel_all": PartKind(10, changes.cancel_all),
        "payment": PartKind(10, changes.pay_otherwise),
        "address": PartKind(24, changes.redirect),
        "profile": PartKind(2, changes.settle),
        "move": PartKind(16, changes.move),
        "price": PartKind(6, questions.price),
        "total": PartKind(4, questions.total),
        "tracking": PartKind(6, questions.tracking),
        "option": PartKind(4, questions.option),
        "destination": PartKind(4, questions.destination),
        "balance": PartKind(2, questions.balance),
        "versions": PartKind(2, questions.versions),
        "cheapest": PartKind(2, questions.cheapest),
        "sum": PartKind(6, questions.spent),
        "difference": PartKind(6, questions.difference),
        "late_cancellation": PartKind(6, refusals.late_cancellation),
        "early_return": PartKind(6, refusals.early_return),
        "part_of_an_order": PartKind(6, refusals.part_of_an_order),
        "other_reason": PartKind(4, refusals.other_reason),
        "other_refund": PartKind(6, refusals.other_refund),
        "other_product": PartKind(4, refusals.other_product),
        "late_redirection": PartKind(4, refusals.late_redirection),
        "split_payment": PartKind(4, refusals.split_payment),
        "other_person": PartKind(1, refusals.other_person),
        "out_of_scope": PartKind(2, refusals.out_of_scope),
        "fallback": PartKind(28, refusals.fallback),
        "condition": PartKind(8, refusals.condition),
        "price_limit": PartKind(6, refusals.price_limit),
        "other_choice": PartKind(12, refusals.other_choice),
        "kept_after_all": PartKind(4, refusals.kept_after_all),
        "fewer_items": PartKind(8, refusals.fewer_items),
    }
)
"""The kinds of part by name; a task's labels name those that it has."""


def _begin(user: Row, draws: Draws, held_out: bool) -> Visit:
    return Visit(user, draws, Wording(draws, held_out=held_out))


SERIES2 = Series(2, KINDS, MappingProxyType({"train2": 10_000, "test2": 1_000}), _begin)
