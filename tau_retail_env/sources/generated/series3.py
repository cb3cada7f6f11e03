"""The third series of generated tasks, in many more words and in the shapes of the benchmark's stories."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tau_retail_env.sources.generated import everyday, refusals, series2, shapes
from tau_retail_env.sources.generated.series import PartKind, Series

SHARES: Mapping[str, int] = MappingProxyType(
    {
        "modify": 40,
        "exchange": 34,
        "return": 18,
        "fallback": 20,
        "address": 18,
        "profile": 1,
        "versions": 1,
        "cheapest": 1,
        "other_person": 1,
    }
)
"""Kinds of the second series that are drawn less often here, for what the shapes have of them."""
SHAPES: Mapping[str, PartKind] = MappingProxyType(
    {
        "bit_by_bit": PartKind(26, shapes.bit_by_bit),
        "same_again": PartKind(12, shapes.same_again),
        "number_first": PartKind(18, shapes.number_first),
        "last_resort": PartKind(24, shapes.last_resort),
        "purpose": PartKind(14, shapes.purpose),
        "part_of_an_address": PartKind(7, shapes.part_of_an_address),
        "other_orders_address": PartKind(8, shapes.other_orders_address),
        "twins": PartKind(8, shapes.twins),
        "errands": PartKind(18, shapes.errands),
        "like_another": PartKind(14, shapes.like_another),
        "chatter": PartKind(2, shapes.chatter),
        "impossible": PartKind(10, refusals.impossible),
    }
)
"""The kinds of part that only this series has."""
KINDS: Mapping[str, PartKind] = MappingProxyType(
    {name: PartKind(SHARES.get(name, kind.weight), kind.build) for name, kind in series2.KINDS.items()} | dict(SHAPES)
)
"""The kinds of part by name; a task's labels name those that it has."""
WRITES_OF_OTHER_EDITIONS = frozenset(
    {
        "1207a0d3f66ee75f",
        "4b3bf2fe1b937cd6",
        "61b26310da92b10f",
        "715c884376eb37a6",
        "f215f381fb6dc675",
        "f8edda84c4afbdf5",
    }
)
"""Digests of the gold writes of τ² 1.0 and of its verified edition that the wheel's tasks do not have."""
SERIES3 = Series(
    number=3,
    kinds=KINDS,
    counts=MappingProxyType({"train3": 10_000, "test3": 1_000}),
    begin=everyday.begin,
    retell=everyday.in_style,
    avoided=WRITES_OF_OTHER_EDITIONS,
)
