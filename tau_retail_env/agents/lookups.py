"""What an agent's look-ups have shown, by the text of the call."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

from tau_retail_env.tasks.task import Action

SORTED_JSON = json.JSONEncoder(sort_keys=True)
"""Made once: `json.dumps` with this option makes an encoder each time."""


def call_key(name: str, arguments: Mapping[str, Any]) -> str:
    """One text for a tool's call, whatever the order of its arguments."""
    try:
        return _key(name, **arguments)
    except TypeError:  # a list among them has no hash
        return _key.__wrapped__(name, **arguments)


@functools.lru_cache(maxsize=4096, typed=True)
def _key(name: str, /, **arguments: Any) -> str:
    """Typed, for 1, 1.0 and true are one key of a cache, and three arguments."""
    return f"{name} {SORTED_JSON.encode(arguments)}"


def users_only(results: Mapping[str, str]) -> dict[str, str]:
    """What stays true after a write: who the customer is and what the shop sells."""
    return {key: value for key, value in results.items() if key.startswith(("find_user_id_by_", "get_product_details"))}


def still_true(results: Mapping[str, str], write: Action | None) -> dict[str, str]:
    """What stays true after one write: all but the order or the profile that it changes."""
    given = write.arguments if write else {}
    changed = {
        call_key("get_order_details", {"order_id": given.get("order_id")}),
        call_key("get_user_details", {"user_id": given.get("user_id")}),
    }
    return {key: value for key, value in results.items() if key not in changed}


@functools.lru_cache(maxsize=1024)
def parsed(text: str | None) -> Mapping[str, Any]:
    """What a look-up has shown, to be read only; nothing where there was none, an error, or a customer's words."""
    if not text or not text.startswith("{"):
        return {}
    try:
        loaded: Mapping[str, Any] = json.loads(text)
    except json.JSONDecodeError:
        return {}
    return loaded
