"""What customers of generated tasks say: sentences from a grammar, such as wording.toml beside this file."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.tasks.seeding import Draws

GRAMMAR = ("wording.toml",)
"""The files of the second series' grammar."""
FEWEST_TO_HOLD_OUT = 5
"""A rule with fewer alternatives has none to hold out."""
MORE = "more "
"""What a rule's name begins with whose alternatives come behind those that an earlier file has."""
SLOT = re.compile(r"\{(\w+)\}")
BEFORE_A_VOWEL = re.compile(r"\b([Aa]) (?=[aeio])")
SENTENCE_START = re.compile(r"(^|[.!?]\s+)([a-z])")


class Wording:
    """Words one task; every choice is drawn, and nothing is remembered."""

    with_options = "with "
    """What stands between "one" and options as `options` words them."""

    def __init__(self, draws: Draws, *, held_out: bool, grammar: tuple[str, ...] = GRAMMAR) -> None:
        """Open the grammar.

        Args:
            draws: decides between alternatives.
            held_out: whether to use the alternatives that are kept for judging (every fifth of each rule that has as
                many), else the others.
            grammar: names of files beside this one, as for `rules`.
        """
        self._draws = draws
        self._rules = rules(grammar, held_out)

    def say(self, rule: str, **slots: str) -> str:
        """Word a rule.

        Args:
            rule: a name in wording.toml.
            slots: texts that go before rules of the same name, in the rules that it uses as well.
        """
        chosen = self._draws.choice(self._rules[rule])
        return SLOT.sub(lambda match: slots[match[1]] if match[1] in slots else self.say(match[1], **slots), chosen)

    def knows(self, rule: str) -> bool:
        """Whether the grammar has a rule."""
        return rule in self._rules

    def item(self, name: str) -> str:
        """A product's name as the customer says it."""
        return casual(name)

    def option(self, name: str, value: str) -> str:
        """One option as the customer says it: "red color", "no backlight"."""
        if value == "yes":
            return name
        if value in ("no", "none"):
            return f"no {name}"
        value_first = f"{value} {name.removeprefix(value.split()[-1]).strip()}".strip()  # "hard cover type"
        return self._draws.choice((f"{name} {value}", value_first))

    def options(self, options: Mapping[str, str]) -> str:
        """Options as the customer says them: "red color and size L"."""
        return listed([self.option(name, value) for name, value in options.items()])

    def sentence(self, rule: str, **slots: str) -> str:
        """Word a rule as whole sentences: no double blanks, capitals at their starts."""
        return sentences(self.say(rule, **slots))


def sentences(text: str) -> str:
    """A text without double blanks, its sentences with capitals at their starts."""
    text = BEFORE_A_VOWEL.sub(r"\1n ", " ".join(text.split()))
    return SENTENCE_START.sub(lambda match: match[1] + match[2].upper(), text)


def casual(name: str) -> str:
    """A product's name as one says it: "desk lamp", "LED light bulb"."""
    return " ".join(word if word == "LED" else word.lower() for word in name.split())


def listed(names: Sequence[str]) -> str:
    """Names as a list in words: "a", "a and b", "a, b and c"."""
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


@functools.cache
def rules(grammar: tuple[str, ...], held_out: bool) -> Mapping[str, tuple[str, ...]]:
    """The rules of a grammar, each with the alternatives of one portion.

    Args:
        grammar: names of files; a rule of a later one stands in place of an earlier one's, or, as "more NAME", adds to
            it: what was held out before stays so.
        held_out: which portion.

    Raises:
        InvalidValueError: a rule without alternatives.
    """
    found: dict[str, list[str]] = {}
    for name in grammar:
        text = resources.files(__package__).joinpath(name).read_text("utf-8")
        for rule, lines in tomllib.loads(text).items():
            if not lines:
                raise InvalidValueError(f"{name}: rule {rule!r} is empty; expected a list of alternatives")
            before = found[rule.removeprefix(MORE)] if rule.startswith(MORE) else []
            found[rule.removeprefix(MORE)] = [*before, *lines]
    return {rule: _portion(lines, held_out) for rule, lines in found.items()}


def _portion(lines: Sequence[str], held_out: bool) -> tuple[str, ...]:
    if len(lines) < FEWEST_TO_HOLD_OUT:
        return tuple(lines)
    return tuple(line for place, line in enumerate(lines) if (place % FEWEST_TO_HOLD_OUT == 4) == held_out)
