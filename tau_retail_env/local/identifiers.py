"""Draws the identifiers of a conversation anew, so that a model must copy them and cannot know the shop by heart."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence

IDENTIFIER = re.compile(
    r"(?<![\d.])\d{6,}(?!\.?\d)"  # ids of orders, items, products, payment methods and parcels
    r"|(?<![\d.$])\d{5}(?!\d|\.\d|mAh)"  # zip codes
    r"|(?<=_)\d{4}(?!\d)|(?<!\d)\d{4}(?=@)"  # user ids and email addresses
    r'|(?<="last_four": ")\d{4}|(?<=ending in )\d{4}'  # cards
)
"""Numbers that name something. Amounts and options ("1925.1", "1000ml", "2000" pieces) are none: they are compared and
added up, and would be wrong with other digits."""


def redraw_identifiers(messages: Sequence[Mapping[str, str]], seed: str) -> list[dict[str, str]]:
    """Replace every identifier by another of the same length, the same one wherever it stands.

    Args:
        messages: a conversation.
        seed: decides the new numbers; conversations with the same seed agree on them.

    Returns:
        The conversation with new numbers; nothing else differs.
    """

    def drawn(match: re.Match[str]) -> str:
        found = match.group()
        return f"{random.Random(f'{seed}/{found}').randrange(10 ** len(found)):0{len(found)}d}"

    return [{**message, "content": IDENTIFIER.sub(drawn, message["content"])} for message in messages]
