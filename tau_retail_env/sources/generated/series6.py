"""The sixth series of generated tasks: the wishes of the fourth and the fifth, in other voices and longer calls."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tau_retail_env.sources.generated import everyday, patrons, series3, series4, series5
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
)
"""The files of the sixth series' grammar: the last four have words of their own for nearly all that is said."""
PART_COUNT_WEIGHTS = (10, 28, 34, 28)
"""How often, in percent, a call has one, two, three and four parts: τ²'s calls are longer than the other series'."""
KINDS: Mapping[str, PartKind] = MappingProxyType({**series4.KINDS, **series5.KINDS})
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
