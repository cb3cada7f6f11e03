"""What the program says: on standard output or standard error, never with a character that a terminal would obey."""

from __future__ import annotations

import re
import sys

from tau_retail_env.urls import without_secrets

OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters but for tab and end of line, and those that turn the direction of writing."""


def say(text: str) -> None:
    """Print a text for a person.

    Args:
        text: may hold words of a customer, a tool or a server.
    """
    print(printable(text), flush=True)


def complain(text: str) -> None:
    """Print a text for a person on standard error, without the secrets of URLs in it.

    Args:
        text: may hold words of a customer, a tool or a server.
    """
    print(printable(without_secrets(text)), file=sys.stderr)


def printable(text: str) -> str:
    r"""The text with control and escape characters written out, such as \x1b.

    Args:
        text: of any origin.
    """
    return OBEYED.sub(lambda found: ascii(found[0])[1:-1], text)
