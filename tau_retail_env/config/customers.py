"""The keys about the customer, checked together: user_strategy, user_model and the block user; and their servers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from tau_retail_env.config.environments import CustomEnv
from tau_retail_env.config.run import RunConfig
from tau_retail_env.config.schema import nearest
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.users import API_STRATEGIES, SCRIPTED_KEYS, ScriptedCustomer, check_customer, user_weights
from tau_retail_env.users.llm.settings import ApiSettings

API_KEYS = tuple(field.name for field in dataclasses.fields(ApiSettings) if field.name != "model")
"""Keys of the block that belong to customers behind an API."""

Strategy = str | Mapping[str, float]
Block = Mapping[str, Any]


def customer_problems(config: RunConfig, envs: Mapping[str, CustomEnv]) -> list[str]:
    """What is wrong with the customers of a run, each by its full path; no server is asked.

    Args:
        config: the keys at the top.
        envs: environments by tag; what one takes from the top is not told twice.
    """
    top = (config.user_strategy, config.user, config.user_model)
    problems = _check(*top, path="", block_name="user")
    for tag, env in envs.items():
        own = (env.env_config.user_strategy, env.env_config.user_config, env.env_config.user_model)
        if own != top:
            problems += _check(*own, path=f"custom_envs.{tag}.env_config.", block_name="user_config")
    return problems


def check_servers(envs: Mapping[str, CustomEnv], tags: Iterable[str]) -> None:
    """Ask the server of every API customer that is played whether it can be had; others need no check.

    Args:
        envs: environments by tag.
        tags: those that are played.

    Raises:
        CustomerSetupError: no key, a wrong key, an unknown model, an address that nothing answers at.
    """
    checked: list[tuple[Strategy, Block, str | None]] = []
    for tag in tags:
        env = envs[tag].env_config
        customer = (env.user_strategy, env.user_config, env.user_model)
        if customer not in checked:
            check_customer(env.user_strategy, env.user_config, model=env.user_model)
            checked.append(customer)


def _check(strategy: Strategy, block: Block, model: str | None, *, path: str, block_name: str) -> list[str]:
    try:
        weights = user_weights(strategy)
    except InvalidValueError as error:
        return [f"{path}user_strategy: {str(error).removeprefix('user_strategy: ')}"]
    try:
        _check_one(weights, block, model)
    except InvalidValueError as error:
        told = str(error)
        return [path + (block_name + told.removeprefix("user") if told.startswith("user.") else told)]
    return []


def _check_one(weights: Mapping[str, float], block: Block, model: str | None) -> None:
    """Refuse a customer that cannot be.

    Raises:
        InvalidValueError: begins with the key, as it is called at the top.
    """
    if "human" in weights:
        raise InvalidValueError("user_strategy: human plays one episode in a terminal; a run needs another")
    is_api = bool(weights.keys() & set(API_STRATEGIES))
    _check_keys(block, weights, is_api=is_api)
    if "phrasings" in block:
        try:
            ScriptedCustomer({}, phrasings=block["phrasings"])
        except InvalidValueError as error:
            raise InvalidValueError(f"user.phrasings: {error}") from None
    if is_api:
        ApiSettings.read(model, {name: value for name, value in block.items() if name in API_KEYS})
    elif model is not None:
        raise InvalidValueError(
            f"user_model: found {model!r}, but user_strategy {' and '.join(weights)} has no model: "
            f"leave it out, or pick one of {', '.join(API_STRATEGIES)}"
        )


def _check_keys(block: Block, weights: Mapping[str, float], *, is_api: bool) -> None:
    """Refuse a key that no customer who plays has.

    Raises:
        InvalidValueError: by its name, with the nearest known one.
    """
    for name in block:
        if name in SCRIPTED_KEYS and "scripted" not in weights:
            raise InvalidValueError(f"user.{name}: only user_strategy scripted has it, not {' and '.join(weights)}")
        if name in API_KEYS and not is_api:
            raise InvalidValueError(
                f"user.{name}: only a customer behind an API has it (user_strategy {', '.join(API_STRATEGIES)}), "
                f"not {' and '.join(weights)}"
            )
        if name not in (*SCRIPTED_KEYS, *API_KEYS):
            known = [*SCRIPTED_KEYS, *API_KEYS]
            hint = nearest(str(name), known) or f" Known here: {', '.join(known)}."
            raise InvalidValueError(f"user.{name}: unknown key.{hint}")
