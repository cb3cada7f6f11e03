"""What customers of generated tasks say: sentences from the grammar in wording.toml beside this file."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.tasks.seeding import Draws

FILE = "wording.toml"
FEWEST_TO_HOLD_OUT = 5
"""A rule with fewer alternatives has none to hold out."""
SLOT = re.compile(r"\{(\w+)\}")
BEFORE_A_VOWEL = re.compile(r"\b([Aa]) (?=[aeio])")
SENTENCE_START = re.compile(r"(^|[.!?]\s+)([a-z])")


class Wording:
    """Words one task; every choice is drawn, and nothing is remembered."""

    def __init__(self, draws: Draws, *, held_out: bool) -> None:
        """Open the grammar.

        Args:
            draws: decides between alternatives.
            held_out: whether to use the alternatives that are kept for judging (every fifth of each rule that has as
                many), else the others.
        """
        self._draws = draws
        self._rules = _rules(held_out)

    def say(self, rule: str, **slots: str) -> str:
        """Word a rule.

        Args:
            rule: a name in wording.toml.
            slots: texts that go before rules of the same name, in the rules that it uses as well.
        """
        chosen = self._draws.choice(self._rules[rule])
        return SLOT.sub(lambda match: slots[match[1]] if match[1] in slots else self.say(match[1], **slots), chosen)

    def sentence(self, rule: str, **slots: str) -> str:
        """Word a rule as whole sentences: no double blanks, capitals at their starts."""
        return sentences(self.say(rule, **slots))


def sentences(text: str) -> str:
    """A text without double blanks, its sentences with capitals at their starts."""
    text = BEFORE_A_VOWEL.sub(r"\1n ", " ".join(text.split()))
    return SENTENCE_START.sub(lambda match: match[1] + match[2].upper(), text)


def listed(names: Sequence[str]) -> str:
    """Names as a list in words: "a", "a and b", "a, b and c"."""
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


@functools.cache
def _rules(held_out: bool) -> Mapping[str, tuple[str, ...]]:
    """The grammar's rules, each with the alternatives of one portion.

    Raises:
        InvalidValueError: a rule without alternatives.
    """
    text = resources.files(__package__).joinpath(FILE).read_text(encoding="utf-8")
    return {name: _portion(name, lines, held_out) for name, lines in tomllib.loads(text).items()}


def _portion(name: str, lines: Sequence[str], held_out: bool) -> tuple[str, ...]:
    if not lines:
        raise InvalidValueError(f"{FILE}: rule {name!r} is empty; expected a list of alternatives")
    if len(lines) < FEWEST_TO_HOLD_OUT:
        return tuple(lines)
    return tuple(line for place, line in enumerate(lines) if (place % FEWEST_TO_HOLD_OUT == 4) == held_out)
