"""Customers who mistype: what was asked has words that a model has not seen, and has to be copied."""

from __future__ import annotations

import random
import re

LONG_WORD = re.compile(r"^[A-Z][a-z]{4,}(?= [a-z])|(?<![\w#@.'-])[a-z]{5,}(?![\w@'-]|\.\w)")
"""A word that is no part of an id, an email or a name: in small letters, or the first of a sentence."""
SENTENCE_END = re.compile(r"((?<=[.!?])\s+)")
STREET = re.compile(r"\d{5}\b|\b(?:street|avenue|drive|lane|road|suite|unit|apartment|apt|broadway)\b", re.IGNORECASE)
"""What stands in an address; a sentence with one keeps its letters."""
WORDS = 0.25
"""Share of the long words that are mistyped."""


def mistyped(text: str, *, seed: str) -> str:
    """A text in which two neighbouring letters have changed places in some of the long words.

    Args:
        text: what a customer says.
        seed: decides which words, and where; a word is mistyped the same way wherever it stands.
    """
    sentences = SENTENCE_END.split(text)
    return "".join(one if STREET.search(one) else _mistyped(one, seed) for one in sentences)


def _mistyped(sentence: str, seed: str) -> str:
    return LONG_WORD.sub(lambda match: _swapped(match[0], random.Random(f"{seed}/{match[0]}")), sentence)


def _swapped(word: str, rng: random.Random) -> str:
    places = [place for place in range(1, len(word) - 1) if word[place] != word[place + 1]]
    if rng.random() >= WORDS or not places:
        return word
    at = rng.choice(places)
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
