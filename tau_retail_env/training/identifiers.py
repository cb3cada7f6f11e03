"""Draws the identifiers of a conversation anew, so that a model must copy them and cannot know the shop by heart."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence

IDENTIFIER = re.compile(r"\d{4,}")
"""Order, item, product, payment and tracking ids, zip codes, the numbers in user ids and e-mail addresses."""


def redraw_identifiers(messages: Sequence[Mapping[str, str]], seed: str) -> list[dict[str, str]]:
    """Replace every number of four or more digits by another of the same length, the same one wherever it stands.

    Args:
        messages: a conversation.
        seed: decides the new numbers.

    Returns:
        The conversation with new numbers; nothing else differs.
    """
    numbers = random.Random(seed)
    drawn: dict[str, str] = {}

    def replacement(match: re.Match[str]) -> str:
        found = match.group()
        if found not in drawn:
            drawn[found] = f"{numbers.randrange(10 ** len(found)):0{len(found)}d}"
        return drawn[found]

    return [{**message, "content": IDENTIFIER.sub(replacement, message["content"])} for message in messages]
