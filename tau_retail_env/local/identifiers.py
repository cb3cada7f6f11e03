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
        seed: decides the new numbers; conversations with the same seed agree on them.

    Returns:
        The conversation with new numbers; nothing else differs.
    """

    def drawn(match: re.Match[str]) -> str:
        found = match.group()
        return f"{random.Random(f'{seed}/{found}').randrange(10 ** len(found)):0{len(found)}d}"

    return [{**message, "content": IDENTIFIER.sub(drawn, message["content"])} for message in messages]
