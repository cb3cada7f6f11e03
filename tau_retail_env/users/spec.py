"""Who plays the customer and with which settings: `user_strategy`, `user_model` and the block `user`, read once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tau_retail_env.blocks import raise_if
from tau_retail_env.errors import InvalidValueError, nearest, unknown
from tau_retail_env.users.base import UserStrategy
from tau_retail_env.users.llm.settings import ApiSettings

Strategy = str | Mapping[str, float]
API_STRATEGIES = (UserStrategy.LLM, UserStrategy.REACT, UserStrategy.VERIFY, UserStrategy.REFLECTION)
"""Who has a model play the customer."""
USER_STRATEGIES = tuple(UserStrategy)
"""Who can play the customer."""
PHRASINGS = ("auto", "train_fit", "train_dev", "train", "wide", "held_out", "all")
"""Which wordings the scripted customer may use."""
SCRIPTED_KEYS = ("phrasings",)
API_KEYS = tuple(name for name in ApiSettings.model_fields if name != "model")
"""The keys of each kind's settings; no key belongs to both."""
TOLERANCE = 1e-6
"""How far the weights of a mixture may be from a sum of 1."""


@dataclass(frozen=True, slots=True)
class UserSpec:
    """A customer that can be made: strategies, model and settings fit together."""

    weights: Mapping[str, float]
    """How often each strategy plays."""
    phrasings: str
    """The scripted customer's setting."""
    api: ApiSettings | None
    """The API customers' settings; None where none plays."""

    @classmethod
    def read(cls, strategy: Strategy, block: Mapping[str, Any] | None, model: str | None) -> UserSpec:
        """Read what a configuration or a caller says about the customer.

        Args:
            strategy: one of `USER_STRATEGIES`, or the weight of each that is to play.
            block: settings of the customer.
            model: the model behind an API customer.

        Raises:
            InvalidValueError: lists everything that is wrong, each by its full path.
        """
        spec, problems = cls.attempt(strategy, block, model)
        raise_if(problems)
        assert spec is not None, "without a problem there is a customer"
        return spec

    @classmethod
    def attempt(
        cls,
        strategy: Strategy,
        block: Mapping[str, Any] | None,
        model: str | None,
        *,
        path: str = "",
        name: str = "user",
    ) -> tuple[UserSpec | None, list[str]]:
        """Read the same, but return the problems: the customer, or None with at least one of them.

        Args:
            strategy: as `read` takes it.
            block: settings of the customer.
            model: the model behind an API customer.
            path: what stands before the names of the three keys, such as "custom_envs.retail_test.env_config.".
            name: what the block is called there.
        """
        try:
            weights = user_weights(strategy)
        except InvalidValueError as error:
            return None, [f"{path}user_strategy: {str(error).removeprefix('user_strategy: ')}"]
        given, is_api = dict(block or {}), bool(weights.keys() & set(API_STRATEGIES))
        problems = list(_misplaced(given, weights, f"{path}{name}", is_api=is_api))
        phrasings = given.get("phrasings") or "auto"
        if phrasings not in PHRASINGS:
            problems.append(f"{path}{name}.phrasings: {unknown('phrasings', phrasings, PHRASINGS)}")
        api = None
        if is_api:
            own = {key: given[key] for key in API_KEYS if key in given}
            api, found = ApiSettings.attempt(model, own, path=path, name=name)
            problems += found
        elif model is not None:
            problems.append(
                f"{path}user_model: found {model!r}, but user_strategy {' and '.join(weights)} needs no model: "
                f"leave it out, or pick one of {', '.join(API_STRATEGIES)}"
            )
        return (None, problems) if problems else (cls(weights, phrasings, api), [])


def user_weights(strategy: Strategy) -> dict[str, float]:
    """Who plays, and how often: the weights of a mixture, or 1 for a single strategy.

    Args:
        strategy: as `make_user` takes it.

    Returns:
        The weights above 0, by strategy.

    Raises:
        InvalidValueError: an unknown strategy, a weight that is no number or negative, a sum other than 1 (± 1e-6).
    """
    weights = {strategy: 1.0} if isinstance(strategy, str) else strategy
    if not isinstance(weights, Mapping):
        raise InvalidValueError(
            f"user_strategy: found {strategy!r}, expected a name ({', '.join(USER_STRATEGIES)}) or a weight for each "
            "of several, such as {scripted: 0.7, llm: 0.3}"
        )
    for name, weight in weights.items():
        if name not in USER_STRATEGIES:
            if weight is None and ":" in str(name):
                raise InvalidValueError(
                    f"user_strategy: found {name!r} without a weight; YAML wants a space after the colon, such as "
                    "{scripted: 0.7, llm: 0.3}"
                )
            raise unknown("user_strategy", name, USER_STRATEGIES)
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 <= weight < math.inf:
            raise InvalidValueError(f"user_strategy: the weight of {name!r} is {weight!r}, expected a number, 0 to 1")
    total = math.fsum(weights.values())
    if abs(total - 1) > TOLERANCE:
        listed = ", ".join(f"{name}: {weight:g}" for name, weight in weights.items())
        raise InvalidValueError(f"user_strategy: the weights {{{listed}}} sum to {total:g}, expected 1")
    return {name: float(weight) for name, weight in weights.items() if weight > 0}


def _misplaced(block: Mapping[str, Any], weights: Mapping[str, float], path: str, *, is_api: bool) -> Iterator[str]:
    """Keys of customers that do not play."""
    playing = " and ".join(weights)
    for key in block:
        if key in SCRIPTED_KEYS and "scripted" not in weights:
            yield f"{path}.{key}: only user_strategy scripted has it, not {playing}"
        elif key in API_KEYS and not is_api:
            strategies = ", ".join(API_STRATEGIES)
            yield f"{path}.{key}: only a customer behind an API has it (user_strategy {strategies}), not {playing}"
        elif key not in (*SCRIPTED_KEYS, *API_KEYS):
            known = [*SCRIPTED_KEYS, *API_KEYS]
            hint = nearest(str(key), known) or f" Known here: {', '.join(known)}."
            yield f"{path}.{key}: unknown key.{hint}"
