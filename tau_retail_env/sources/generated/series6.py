"""The sixth series of generated tasks: the wishes of the fourth and the fifth in other voices, and nine more."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tau_retail_env.sources.generated import everyday, leeway, patrons, series3, series4, series5, turns
from tau_retail_env.sources.generated.patrons import Patron, PatronWording
from tau_retail_env.sources.generated.series import PartKind, Series
from tau_retail_env.sources.generated.visit import Row, Visit
from tau_retail_env.tasks.seeding import Draws

GRAMMAR = (
    *patrons.GRAMMAR,
    "voices_calls.toml",
    "voices_facts.toml",
    "voices_dealings.toml",
    "voices_things.toml",
    "voices_turns.toml",
)
"""The files of the sixth series' grammar: four have words of their own for nearly all that is said, and the last one
those of the parts that no older series has."""
PART_COUNT_WEIGHTS = (10, 28, 34, 28)
"""How often, in percent, a call has one, two, three and four parts: τ²'s calls are longer than the other series'."""
NEW: Mapping[str, PartKind] = MappingProxyType(
    {
        "any_will_do": PartKind(34, leeway.any_will_do),
        "kept_by_name": PartKind(24, leeway.kept_by_name),
        "heard_then_picked": PartKind(40, leeway.heard_then_picked),
        "something_else_first": PartKind(60, turns.something_else_first),
        "all_but_one_twin": PartKind(12, turns.all_but_one_twin),
        "every_one_of_a_kind": PartKind(12, turns.every_one_of_a_kind),
        "the_other_one": PartKind(32, turns.the_other_one),
        "refunds_crossed": PartKind(24, turns.refunds_crossed),
        "be_rid_of": PartKind(30, turns.be_rid_of),
    }
)
"""The kinds of part that only this series has."""
KINDS: Mapping[str, PartKind] = MappingProxyType({**series4.KINDS, **series5.KINDS, **NEW})
"""The kinds of part by name; a task's labels name those that it has."""


def begin(user: Row, draws: Draws, held_out: bool) -> Visit:
    """Begin a call.

    Args:
        user: the customer, as the shop has it.
        draws: decides.
        held_out: whether its words are those kept for judging.
    """
    return Patron(user, draws, PatronWording(draws, held_out=held_out, grammar=GRAMMAR))


SERIES6 = Series(
    number=6,
    kinds=KINDS,
    counts=MappingProxyType({"train6": 10_000, "test6": 1_000}),
    begin=begin,
    retell=everyday.in_style,
    identify=patrons.identify,
    avoided=series3.WRITES_OF_OTHER_EDITIONS,
    part_counts=PART_COUNT_WEIGHTS,
)
