"""Who asks: the customers, one file per kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tau_retail_env.errors import unknown
from tau_retail_env.users.customer import OUT_OF_SCOPE, STOP, TRANSFER, Customer, UserError, UserMessage
from tau_retail_env.users.scripted import ScriptedCustomer

__all__ = [
    "OUT_OF_SCOPE",
    "STOP",
    "TRANSFER",
    "USER_STRATEGIES",
    "Customer",
    "ScriptedCustomer",
    "UserError",
    "UserMessage",
    "make_customer",
]

USER_STRATEGIES = ("scripted",)
"""Who can play the customer."""
SCRIPTED_KEYS = ("phrasings",)


def make_customer(strategy: str, config: Mapping[str, Any] | None, shop: Mapping[str, Any]) -> Customer:
    """Make the customer of a strategy.

    Args:
        strategy: one of `USER_STRATEGIES`.
        config: settings of the customer; for "scripted" `phrasings` ("auto", "train", "held_out" or "all").
        shop: the shop's database as plain JSON, read only.

    Raises:
        InvalidValueError: an unknown strategy, an unknown key or an unknown value.
    """
    if strategy not in USER_STRATEGIES:
        raise unknown("user_strategy", strategy, USER_STRATEGIES)
    settings = dict(config or {})
    for key in settings:
        if key not in SCRIPTED_KEYS:
            raise unknown("key of the scripted customer's user_config", key, SCRIPTED_KEYS)
    return ScriptedCustomer(shop, phrasings=settings.get("phrasings", "auto"))
