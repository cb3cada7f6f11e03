"""What can go wrong with one attempt, and whether another attempt can help."""

from __future__ import annotations

import email.utils
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tau_retail_env.errors import TauRetailError, UserSetupError, nearest
from tau_retail_env.users.base import UserError
from tau_retail_env.users.llm.address import secrets_of
from tau_retail_env.users.llm.settings import ApiSettings

RETRIED_STATUS = (408, 409, 425, 429)
CONVERSATION_CODES = ("context_length_exceeded", "content_filter", "content_policy_violation")
"""Codes of HTTP 400 that speak of one conversation, whatever the settings."""
QUOTE_WORDS = 4
"""So many words in a row that the server's error text shares with the conversation make it a quotation; all of them
where it has fewer."""
SHORTEST_KEY = 8
"""Characters of a key that is worth hiding."""
LONGEST_TEXT = 300


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an attempt brought no answer; its words hold neither the conversation nor a key."""

    reason: str
    """For the error text, such as "HTTP 503"."""
    is_outage: bool = True
    """Whether it speaks for a server that is down: counted by the circuit breaker."""
    retry_after_s: float | None = None
    """Seconds that the server asks to wait."""
    fatal: TauRetailError | None = None
    """The error to raise at once; None where another attempt may help."""
    is_settings: bool = False
    """Whether `fatal` may be due to the settings: it is, if no request was ever answered."""
    unknown_model: bool = False
    """The server does not know the model, or the path."""


def read_models(body: bytes) -> tuple[str, ...] | Fault:
    """Read the list of models, in the shape of OpenAI's `GET /models`."""
    try:
        return tuple(str(model["id"]) for model in json.loads(body)["data"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return Fault("a list of models that cannot be read", False)


def fault_of_status(
    status: int,
    body: object,
    headers: Mapping[str, str],
    settings: ApiSettings,
    messages: Sequence[Mapping[str, Any]],
    key: str,
) -> Fault:
    """What follows from an answer with an error status.

    Args:
        status: the HTTP status.
        body: the parsed body, whatever it is.
        headers: the answer's headers, by lower-case names.
        settings: the endpoint's.
        messages: the conversation, of which nothing may reach the error text.
        key: the key, which may not either.
    """
    details = _details(body)
    code = plain_name(details.get("code")) or plain_name(details.get("type"))
    if "insufficient_quota" in (details.get("code"), details.get("type")) or status == 402:
        return Fault("", False, fatal=_no_credit(settings, status))
    if status in (401, 403):
        return Fault("", False, fatal=wrong_key(settings, status, bool(key)))
    if status == 404:
        return Fault("HTTP 404", False, unknown_model=True)
    if 300 <= status < 400:
        return Fault(f"HTTP {status}, a redirect, which is not followed")
    if status in RETRIED_STATUS or status >= 500:
        return Fault(f"HTTP {status}", status != 429, retry_after_s(headers))  # at 429 the server is up
    secrets = (key, *secrets_of(settings.base_url))
    told = (_harmless(text, messages, secrets) for text in (details.get("message"), code))
    words = next(filter(None, told), "")
    text = (
        f"The customer's server {settings.base_url} (model {settings.model}) refused a request: HTTP {status}: "
        f"{words or 'no reason given'}"
    )
    return Fault("", False, fatal=UserError(text), is_settings=code not in CONVERSATION_CODES)


def retry_after_s(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Seconds that a server asks to wait: `Retry-After` in seconds or as a date, RFC 9110 section 10.2.3."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    # The RFC knows whole seconds alone; other numbers are clear enough.
    if re.fullmatch(r"-?\d+(\.\d*)?", value):
        return max(float(value), 0.0)
    try:
        date = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(date.timestamp() - (time.time() if now is None else now), 0.0)


def wrong_key(settings: ApiSettings, status: int, given: bool) -> UserSetupError:
    """The error for a key that the server does not accept."""
    found = "the key in the environment variable" if given else "no key: set the environment variable"
    return UserSetupError(
        f"The customer's server {settings.base_url} answers HTTP {status} to {found} {settings.api_key_env}. "
        "Export the right key, or name another variable with user.api_key_env"
    )


def unknown_model(settings: ApiSettings, known: Sequence[str]) -> UserSetupError:
    """The error for a model that the server does not have, with the nearest that it has."""
    hint = nearest(settings.model, known)
    if known and settings.model not in known:
        shown = ", ".join(known[:10]) + (", …" if len(known) > 10 else "")
        return UserSetupError(
            f"user_model: the server {settings.base_url} has no model {settings.model!r}; it has: {shown}.{hint}"
        )
    return UserSetupError(
        f"user_model: the server {settings.base_url} answers HTTP 404 to a request for {settings.model!r}: the model "
        "is unknown there, or user.base_url lacks its path (most end in /v1)"
    )


def _no_credit(settings: ApiSettings, status: int) -> UserSetupError:
    return UserSetupError(
        f"The customer's server {settings.base_url} answers HTTP {status}: the account behind the key in "
        f"{settings.api_key_env} has no credit left. Top it up, or name another key with user.api_key_env"
    )


def _details(body: object) -> Mapping[str, Any]:
    inner = body.get("error", body) if isinstance(body, Mapping) else None
    return inner if isinstance(inner, Mapping) else {}


def plain_name(value: object) -> str:
    """What a server calls something, such as "invalid_api_key"; empty where it is more than a short word.

    A code, a type or a finish_reason is shown in errors, and a server may put anything there.
    """
    return value if isinstance(value, str) and re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{,39}", value) else ""


def _harmless(text: object, messages: Sequence[Mapping[str, Any]], secrets: Sequence[str]) -> str:
    """The server's words, unless they quote the conversation or a secret."""
    if not isinstance(text, str):
        return ""
    said = _words(" ".join(str(message.get("content")) for message in messages))
    words = _words(text).split()
    length = min(QUOTE_WORDS, len(words)) or 1
    parts = (" ".join(words[start : start + length]) for start in range(len(words) - length + 1))
    if any(f" {part} " in f" {said} " for part in parts) or any(holds_key(text, one) for one in secrets):
        return ""
    return " ".join(text.split())[:LONGEST_TEXT]


def holds_key(text: str, key: str) -> bool:
    """Whether a text holds the key; one too short to be secret, such as "x" for a server here, is in many texts."""
    return len(key) >= SHORTEST_KEY and key in text


def _words(text: str) -> str:
    """The text as words between single spaces, without case and punctuation."""
    return " ".join(re.findall(r"\w+", text.lower()))
