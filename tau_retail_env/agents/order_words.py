"""Whether a customer's words hold what a rule of the generated tasks' grammars says, also where they are mistyped."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from itertools import chain, zip_longest

from tau_retail_env.agents.small_talk import ANY, plain
from tau_retail_env.sources.generated import patrons, series6, wording
from tau_retail_env.sources.generated.wording import SLOT, rules

GRAMMARS = (wording.GRAMMAR, patrons.GRAMMAR, series6.GRAMMAR)
"""The grammars in which customers of the generated tasks name orders and things."""
Slots = tuple[tuple[str, str], ...]
"""Names of slots with patterns for what stands in them, as `plain` has it."""


def alternatives(rule: str) -> Iterator[str]:
    """The alternatives of a rule in all grammars."""
    for grammar in GRAMMARS:
        for held_out in (False, True):
            yield from rules(grammar, held_out).get(rule, ())


def says(rule: str, words: str, slots: Slots = ()) -> bool:
    """Whether words hold an alternative of a rule.

    Args:
        rule: its name.
        words: as `plain` has them.
        slots: what stands in its slots; anything of six words where nothing is given.
    """
    return bool(_compiled(rule, slots).search(words))


@functools.cache
def phrases(rule: str, slots: Slots) -> str:
    """A pattern for the alternatives of a rule, as `plain` has them; empty where it has none."""
    filled = dict(slots)
    found = []
    for line in dict.fromkeys(alternatives(rule)):
        between = [re.escape(plain(part)) for part in SLOT.split(line)[::2]]
        inner = [f"(?:{filled.get(name, ANY)})" for name in SLOT.findall(line)]
        found.append(r"\ ".join(filter(None, chain.from_iterable(zip_longest(between, inner)))))
    return "|".join(found)


@functools.cache
def _compiled(rule: str, slots: Slots) -> re.Pattern[str]:
    return re.compile(rf"(?<!\S)(?:{phrases(rule, slots) or '(?!)'})(?!\S)")
