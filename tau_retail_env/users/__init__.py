"""Who asks: the customers, one file or folder per kind."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tau_retail_env.errors import InvalidValueError, unknown
from tau_retail_env.users.base import OUT_OF_SCOPE, STOP, TRANSFER, Customer, UserError, UserMessage, UserStrategy
from tau_retail_env.users.human import HumanCustomer
from tau_retail_env.users.llm.endpoint import Endpoint
from tau_retail_env.users.llm.settings import ApiSettings
from tau_retail_env.users.llm.simulators import ApiCustomer
from tau_retail_env.users.llm.writing import API_STRATEGIES
from tau_retail_env.users.mixed import MixedCustomer
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
    "UserStrategy",
    "check_customer",
    "make_customer",
    "user_weights",
]

USER_STRATEGIES = tuple(UserStrategy)
"""Who can play the customer."""
SCRIPTED_KEYS = ("phrasings",)
API_KEYS = tuple(field.name for field in dataclasses.fields(ApiSettings) if field.name != "model")
"""The keys of each kind's settings; no key belongs to both."""
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
    casting = _cast(strategy, config, model)
    customers = {name: _make(name, casting, shop, source) for name in casting.weights}
    return customers[strategy] if isinstance(strategy, str) else MixedCustomer(customers, casting.weights)


def check_customer(
    strategy: str | Mapping[str, float], config: Mapping[str, Any] | None, *, model: str | None = None
) -> None:
    """Make sure, before the first episode, that the server of an API customer can be used; others need no check.

    Args:
        strategy: as `make_customer` takes it.
        config: settings of the customer, as `make_customer` takes them.
        model: the model behind an API customer.

    Raises:
        InvalidValueError: whatever `make_customer` raises it for.
        CustomerSetupError: no key, a wrong key, an unknown model, a server that cannot be reached.
        MissingDependencyError: the package openai is not installed.
    """
    settings = _cast(strategy, config, model).api
    if settings is not None:
        Endpoint(settings).check()


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
            raise InvalidValueError(f"user_strategy: the weight of {name!r} is {weight!r}, expected a number, 0 to 1")
    total = math.fsum(weights.values())
    if abs(total - 1) > TOLERANCE:
        told = ", ".join(f"{name}: {weight:g}" for name, weight in weights.items())
        raise InvalidValueError(f"user_strategy: the weights {{{told}}} sum to {total:g}, expected 1")
    return {name: float(weight) for name, weight in weights.items() if weight > 0}


@dataclass(frozen=True, slots=True)
class _Casting:
    """Who plays, and with which settings."""

    weights: Mapping[str, float]
    """How often each strategy plays."""
    phrasings: str
    """The scripted customer's setting."""
    api: ApiSettings | None
    """The API customers' settings; None where none plays."""


def _cast(strategy: str | Mapping[str, float], config: Mapping[str, Any] | None, model: str | None) -> _Casting:
    weights = user_weights(strategy)
    is_api = any(name in API_STRATEGIES for name in weights)
    block = dict(config or {})
    known = (*(SCRIPTED_KEYS if UserStrategy.SCRIPTED in weights else ()), *(API_KEYS if is_api else ()))
    for key in block:
        if key not in known:
            raise _unknown_key(key, tuple(weights), known)
    if model is not None and not is_api:
        raise InvalidValueError(
            f"user_model is {model!r}, but user_strategy {' and '.join(weights)!r} needs no model: "
            f"leave it out, or pick one of {', '.join(API_STRATEGIES)}"
        )
    api = ApiSettings.read(model, {key: block[key] for key in API_KEYS if key in block}) if is_api else None
    return _Casting(weights, block.get("phrasings") or "auto", api)


def _unknown_key(key: str, playing: tuple[str, ...], known: tuple[str, ...]) -> InvalidValueError:
    kind = f"key of the {' and '.join(playing)} customer's settings (user:)"
    if known:
        return unknown(kind, key, known)
    return InvalidValueError(f"Unknown {kind} {key!r}; it has none")


def _make(name: str, casting: _Casting, shop: Mapping[str, Any], source: str) -> Customer:
    if name == UserStrategy.SCRIPTED:
        return ScriptedCustomer(shop, phrasings=casting.phrasings)
    if name == UserStrategy.HUMAN:
        return HumanCustomer(source=source)
    assert casting.api is not None
    return ApiCustomer(name, Endpoint(casting.api), source=source)
