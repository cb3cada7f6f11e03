"""Numbers in English text, however they are written: 10, "ten", $1,093.34, "twenty dollars and five cents"."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_SMALL = {word: value for value, word in enumerate(_UNITS)} | {word: 10 * (2 + n) for n, word in enumerate(_TENS)}
_SCALES = ("hundred", "thousand")
_WORD = "|".join((*_SMALL, *_SCALES))
_DIGITS = re.compile(
    r"(?<![\w.,#])(?:(?P<comma>\d{1,3}(?:\.\d{3})+,\d{2}|\d+,\d{2})(?![\d,])"
    r"|(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?!\d))|(?<=\$)\.\d+"
)
"""Digits; the group "comma" is a number whose decimals follow a comma, as some write it."""
_WORDS = re.compile(rf"\b(?:{_WORD})(?:(?:[\s-]+(?:and\s+)?)(?:{_WORD}))*\b", re.IGNORECASE)
_CENTS = re.compile(r"\s*dollars?,?\s*(?:and\s+)?(?P<cents>\S+(?:[\s-]\S+)?)\s+cents?\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Number:
    """A number that a text mentions."""

    value: Decimal
    """What it comes to."""
    start: int
    """Where it begins."""
    end: int
    """Where it ends."""


def numbers_in(text: str) -> Iterator[Number]:
    """The numbers that a text mentions, from left to right.

    Digits that belong to a longer name ("#W2378156", "gift_card_7245904") are none; a unit right behind ("64GB") is
    no part of the number, cents are.

    Args:
        text: English text.
    """
    written = [(found, Decimal(_with_point(found))) for found in _DIGITS.finditer(text)]
    spelled = [(found, Decimal(_spelled(found.group()))) for found in _WORDS.finditer(text)]
    end = 0
    for found, value in sorted(written + spelled, key=lambda one: one[0].start()):
        if found.start() >= end:
            number = _with_cents(text, value, found.start(), found.end())
            end = number.end
            yield number


def _with_point(found: re.Match[str]) -> str:
    """Digits as Python writes them."""
    if found["comma"]:
        return found["comma"].replace(".", "").replace(",", ".")
    return found.group().replace(",", "")


def _with_cents(text: str, value: Decimal, start: int, end: int) -> Number:
    """A number, together with the cents that follow it ("twenty dollars and five cents")."""
    found = _CENTS.match(text, end)
    if found is None:
        return Number(value, start, end)
    words = found["cents"].lower()
    if words.isdigit():
        return Number(value + Decimal(words) / 100, start, found.end())
    parts = re.split(r"[\s-]+", words)
    if all(part in _SMALL for part in parts):
        return Number(value + Decimal(sum(_SMALL[part] for part in parts)) / 100, start, found.end())
    return Number(value, start, end)


def _spelled(words: str) -> int:
    """The value of a number in words, such as "one thousand ninety-three"."""
    total = group = 0
    for word in re.split(r"[\s-]+", words.lower()):
        if word in _SMALL:
            group += _SMALL[word]
        elif word == "hundred":
            group = max(group, 1) * 100
        elif word == "thousand":
            total, group = total + max(group, 1) * 1000, 0
    return total + group
