"""One reply of a model, read from a chat completion's body, and what it cost."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tau_retail_env.users.llm.faults import Fault, plain_name
from tau_retail_env.users.llm.settings import ApiSettings
from tau_retail_env.users.usage import Usage

CUT_OFF = "length"
"""The finish_reason of a reply that max_tokens, or the model's context, cut off."""
MOST_TOKENS = 2**53
"""No count of tokens is that high; a float no longer holds every whole number above."""


@dataclass(frozen=True, slots=True)
class Completion:
    """A reply of the model."""

    content: str
    """Its text, as the server sent it."""
    usage: Usage
    """What it took."""
    finish_reason: str = ""
    """Why the model ended: "stop", "length" …; empty where the server says nothing, or something else than a name."""


def read_completion(body: bytes, settings: ApiSettings) -> Completion | Fault:
    """Read the body of a chat completion; anything that is none is a fault.

    Args:
        body: what the server sent.
        settings: the endpoint's; its prices count where the server reports no cost.

    Returns:
        The reply, whose content may be empty; its usage has tokens, cost and the one call.
    """
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return Fault("a body that is not JSON")
    try:
        choice = parsed["choices"][0]
        content = choice["message"].get("content")
    except (KeyError, IndexError, TypeError, AttributeError):
        return Fault("a body without an answer in it")
    if content is not None and not isinstance(content, str):
        return Fault("a body whose content is no text")
    numbers = parsed.get("usage")
    usage = _usage(numbers if isinstance(numbers, dict) else {}, settings)
    return Completion(content or "", usage, plain_name(choice.get("finish_reason")))


def _usage(numbers: Mapping[str, Any], settings: ApiSettings) -> Usage:
    read, written = tokens_of(numbers.get("prompt_tokens")), tokens_of(numbers.get("completion_tokens"))
    cost_usd = _dollars(numbers.get("cost"))
    if cost_usd is None and read is not None and written is not None:
        cost_usd = settings.cost_usd(read, written)
    return Usage(prompt_tokens=read or 0, completion_tokens=written or 0, cost_usd=cost_usd, calls=1)


def tokens_of(value: object) -> int | None:
    """A count of tokens as a server reports it; None for what can be none.

    Args:
        value: of its JSON.
    """
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MOST_TOKENS else None


def _dollars(value: object) -> float | None:
    """A cost that can be added up; None for anything else, such as NaN or a negative number."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    try:
        cost_usd = float(value)
    except OverflowError:
        return None
    return cost_usd if math.isfinite(cost_usd) and cost_usd >= 0 else None
