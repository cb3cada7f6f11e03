"""The customers of generated tasks: who belongs to which split, and what they are like."""

from __future__ import annotations

import hashlib

TEST_CUSTOMERS_PERCENT = 20
"""The share of the shop's customers that only the test splits know."""

TRAITS = (
    ("cheerful", "friendly", "grumpy"),
    ("chatty", "to the point", "shy"),
    ("patient", "impatient", "busy"),
    ("polite", "blunt"),
    ("calm", "anxious", "tired"),
    ("orderly", "laid-back"),
    ("forgiving", "stubborn", "sceptical"),
    ("sincere", "private"),
    ("cautious", "curious", "humble"),
)
"""What a personality is made of: at most one word of each group, so that none contradicts another."""


def split_of(user_id: str) -> str:
    """The split whose tasks a customer calls in: "train" or "test"."""
    digest = hashlib.sha256(user_id.encode("utf-8")).digest()
    return "test" if int.from_bytes(digest[:8], "big") % 100 < TEST_CUSTOMERS_PERCENT else "train"
