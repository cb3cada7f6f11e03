"""Who asks: the customers, one file or folder per kind."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from tau_retail_env.errors import InvalidValueError, unknown
from tau_retail_env.users.api.turn import API_STRATEGIES
from tau_retail_env.users.customer import OUT_OF_SCOPE, STOP, TRANSFER, Customer, UserError, UserMessage
from tau_retail_env.users.scripted import ScriptedCustomer

__all__ = [
    "API_STRATEGIES",
    "OUT_OF_SCOPE",
    "STOP",
    "TRANSFER",
    "USER_STRATEGIES",
    "Customer",
    "ScriptedCustomer",
    "UserError",
    "UserMessage",
    "make_customer",
    "user_weights",
]

USER_STRATEGIES = ("scripted", *API_STRATEGIES, "human")
"""Who can play the customer."""
SCRIPTED_KEYS = ("phrasings",)
"""The keys of the scripted customer's config; an API customer's are the fields of `ApiSettings`."""
TOLERANCE = 1e-6
"""How far the weights of a mixture may be from a sum of 1."""


def make_customer(
    strategy: str | Mapping[str, float],
    config: Mapping[str, Any] | None,
    shop: Mapping[str, Any],
    *,
    model: str | None = None,
    source: str = "tau2",
) -> Customer:
    """Make the customer of a strategy, or a mixture; no server is asked anything.

    Args:
        strategy: one of `USER_STRATEGIES`; or the weight of each that is to play, as {"scripted": 0.7, "llm": 0.3}.
        config: settings of the customer: `phrasings` ("auto", "train", "held_out" or "all") is the scripted one's,
            all others are those of `ApiSettings`. A key of a kind that does not play is an error.
        shop: the shop's database as plain JSON, read only.
        model: the model behind an API customer.
        source: where the tasks come from, which decides whose simulator an API customer is.

    Raises:
        InvalidValueError: an unknown strategy, key or value, weights that do not sum to 1, a model that is missing or
            that nobody needs.
        MissingDependencyError: a package that the customer needs is not installed.
    """
    weights = user_weights(strategy)
    blocks = _split(config or {}, weights)
    is_api = any(name in API_STRATEGIES for name in weights)
    if model is not None and not is_api:
        raise InvalidValueError(
            f"user_model is {model!r}, but user_strategy {' and '.join(weights)!r} needs no model: "
            f"leave it out, or pick one of {', '.join(API_STRATEGIES)}"
        )
    customers = {name: _make(name, blocks, shop, model, source) for name in weights}
    if isinstance(strategy, str):
        return customers[strategy]
    from tau_retail_env.users.mixed import MixedCustomer

    return MixedCustomer(customers, weights)


def user_weights(strategy: str | Mapping[str, float]) -> dict[str, float]:
    """Who plays, and how often: the weights of a mixture, or 1 for a single strategy.

    Args:
        strategy: as `make_customer` takes it.

    Returns:
        The weights above 0, by strategy.

    Raises:
        InvalidValueError: an unknown strategy, a weight that is no number or negative, a sum other than 1 (± 1e-6).
    """
    weights = {strategy: 1.0} if isinstance(strategy, str) else strategy
    if not isinstance(weights, Mapping):
        raise InvalidValueError(
            f"user_strategy is {strategy!r}; expected a name ({', '.join(USER_STRATEGIES)}) or a weight for each of "
            "several, such as {scripted: 0.7, llm: 0.3}"
        )
    for name, weight in weights.items():
        if name not in USER_STRATEGIES:
            raise unknown("user_strategy", name, USER_STRATEGIES)
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 <= weight < math.inf:
            raise InvalidValueError(
                f"user_strategy: the weight of {name!r} is {weight!r}, expected a number from 0 to 1"
            )
    total = math.fsum(weights.values())
    if abs(total - 1) > TOLERANCE:
        told = ", ".join(f"{name}: {weight:g}" for name, weight in weights.items())
        raise InvalidValueError(f"user_strategy: the weights {{{told}}} sum to {total:g}, expected 1")
    return {name: float(weight) for name, weight in weights.items() if weight > 0}


def _split(config: Mapping[str, Any], weights: Mapping[str, float]) -> dict[str, dict[str, Any]]:
    """The block of each kind, "scripted" and "api": no key belongs to two.

    Raises:
        InvalidValueError: a key that no customer who plays has.
    """
    known: dict[str, tuple[str, ...]] = {}
    if "scripted" in weights:
        known["scripted"] = SCRIPTED_KEYS
    if any(name in API_STRATEGIES for name in weights):
        from tau_retail_env.users.api.settings import ApiSettings

        known["api"] = tuple(field.name for field in dataclasses.fields(ApiSettings) if field.name != "model")
    keys = [key for of_kind in known.values() for key in of_kind]
    for key in config:
        if key not in keys:
            kind = f"key of the {' and '.join(weights)} customer's user_config"
            if not keys:
                raise InvalidValueError(f"Unknown {kind} {key!r}; it has none")
            raise unknown(kind, key, keys)
    return {kind: {key: config[key] for key in config if key in of_kind} for kind, of_kind in known.items()}


def _make(
    name: str, blocks: Mapping[str, Mapping[str, Any]], shop: Mapping[str, Any], model: str | None, source: str
) -> Customer:
    """The customer of one strategy; what others import is imported for those who need it."""
    if name == "scripted":
        return ScriptedCustomer(shop, phrasings=blocks["scripted"].get("phrasings", "auto"))
    if name == "human":
        from tau_retail_env.users.human import HumanCustomer

        return HumanCustomer(source=source)
    from tau_retail_env.users.api.endpoint import Endpoint
    from tau_retail_env.users.api.settings import ApiSettings
    from tau_retail_env.users.api.simulators import ApiCustomer

    return ApiCustomer(name, Endpoint(ApiSettings.read(model, blocks["api"])), source=source)
