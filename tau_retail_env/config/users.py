"""The keys about the customer, checked together: user_strategy, user_model and the block user; and their servers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tau_retail_env.config.environments import CustomEnv
from tau_retail_env.config.run import PlayedConfig
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.users import check_user
from tau_retail_env.users.spec import API_KEYS, API_STRATEGIES, Strategy, UserSpec, user_weights

Settings = Mapping[str, Any]


def user_problems(config: PlayedConfig, envs: Mapping[str, CustomEnv]) -> list[str]:
    """What is wrong with the customers of a run, each by its full path; no server is asked.

    Args:
        config: the keys at the top.
        envs: environments by tag; what one takes from the top is not reported twice.
    """
    top = (config.user_strategy, config.user, config.user_model)
    problems = _check(*top, path="", block_name="user")
    for tag, env in envs.items():
        own = (env.env_config.user_strategy, env.env_config.user_config, env.env_config.user_model)
        if own != top:
            problems += _check(*own, path=f"custom_envs.{tag}.env_config.", block_name="user_config")
        problems += _unheard(config.user, tag, env)
    return problems


def _unheard(user: Settings, tag: str, env: CustomEnv) -> Iterator[str]:
    """Settings of `user` that a model behind an API, which plays in an environment, would be called without.

    An environment with an address of its own is taken to mean what it says.
    """
    own = env.env_config.user_config
    try:
        plays = [one for one in user_weights(env.env_config.user_strategy) if one in API_STRATEGIES]
    except InvalidValueError:  # told already
        return
    missing = [name for name in user if name in API_KEYS and name not in own]
    if plays and missing and "base_url" not in own:
        yield (
            f"custom_envs.{tag}.env_config.user_config: {plays[0]} would be called without {', '.join(missing)} of the "
            f"block user; set it to ${{user}} (custom_envs.{tag}.env_config.user_config=${{user}})"
        )


def check_servers(envs: Mapping[str, CustomEnv], tags: Iterable[str]) -> None:
    """Ask the server of every API customer that is played whether it is available, and look for what it is told.

    Other customers need no check.

    Args:
        envs: environments by tag.
        tags: those that are played.

    Raises:
        UserSetupError: no key, a wrong key, an unknown model, an address that nothing answers at.
        InvalidValueError: the environment's source has no prompts for a model.
        MissingDependencyError: its upstream is not installed, or has no such texts.
    """
    from tau_retail_env.sources import get_source  # late: `doctor` reads this module without a package installed

    checked: list[tuple[Strategy, Settings, str | None]] = []
    for tag in tags:
        env = envs[tag].env_config
        for strategy in UserSpec.read(env.user_strategy, env.user_config, env.user_model).weights:
            if strategy in API_STRATEGIES:
                get_source(env.source, env.task_version).check_user_opening(strategy)
        customer = (env.user_strategy, env.user_config, env.user_model)
        if customer not in checked:
            check_user(env.user_strategy, env.user_config, model=env.user_model)
            checked.append(customer)


def _check(strategy: Strategy, block: Settings, model: str | None, *, path: str, block_name: str) -> list[str]:
    spec, problems = UserSpec.attempt(strategy, block, model, path=path, name=block_name)
    if spec is not None and "human" in spec.weights:
        problems = [f"{path}user_strategy: human plays one episode in a terminal; a run needs another"]
    return problems
