"""The blocks that say what is played: environments by tag."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from tau_retail_env.config.schema import Refusing, key

ONE_PROCESS = "The local engine plays all environments in one process: remove the key."


@dataclass(frozen=True, kw_only=True)
class EnvironmentConfig(Refusing):
    """What is handed to `TauRetailEnv`: every field is an argument of its."""

    source: str = key()
    """Where the tasks come from: tau2, tau_bench or generated."""
    split: str = key()
    """The source's split, such as train or test."""
    task_subset: str = key("all")
    """Tasks whose gold actions contain a kind, such as returns; all; a+b."""
    user_strategy: str | Mapping[str, float] = key("scripted")
    """Who plays the customer: a name, or weights by name, of which each group of episodes draws one."""
    user_model: str | None = key(None)
    """Name of the model behind an API customer, null for customers without one."""
    user_config: Mapping[str, Any] = key(dict)
    """Everything else about the customer, as its strategy reads it."""
    max_turns: int | None = key(None, minimum=1)
    """Agent messages per episode; null keeps the limits of the source's own benchmark."""
    max_errors: int | None = key(None, minimum=1)
    """Tool errors per episode; null keeps the limits of the source's own benchmark."""
    prompt_style: str = key("full")
    """How the domain policy and the tools are shown: full, compressed or minimal."""
    multiple_calls: str = key("error", only=("error", "upstream"))
    """What happens to a message with several tool calls."""


@dataclass(frozen=True, kw_only=True)
class CustomEnv(Refusing):
    """One tag: a kind of environment and its settings."""

    refused: ClassVar[Mapping[str, str]] = {
        "env_manager_cls": "Only ROLL's workers load an env manager: remove the key.",
        "use_thread_lock": ONE_PROCESS,
        "max_env_step_concurrent": ONE_PROCESS,
        "agent_system_template": "The system text is the environment's own: choose it with prompt_style.",
        "agent_template": "The model's own chat template renders the messages: remove the key.",
    }

    env_type: str = key(only=("tau_retail",), instead="It is the only environment of this package.")
    """ROLL's name of the environment class."""
    max_steps: int | None = key(None, minimum=1)
    """Turns per episode; must be null or equal to env_config.max_turns."""
    max_tokens_per_step: int | None = key(None, minimum=1)
    """Tokens of one agent message; the smaller of this and max_new_tokens counts."""
    env_config: EnvironmentConfig = key()
    """What is handed to the environment."""


def check_environments(envs: Mapping[str, CustomEnv]) -> list[str]:
    """What is wrong with the environments, each by its full path."""
    problems = []
    for tag, env in envs.items():
        turns = env.env_config.max_turns
        if env.max_steps is not None and env.max_steps != turns:
            problems.append(
                f"custom_envs.{tag}.max_steps: found {env.max_steps}, but env_config.max_turns is {turns}; "
                "set both from the top with max_turns"
            )
    return problems


def prompt_styles(envs: Mapping[str, CustomEnv], tags: Iterable[str]) -> set[str]:
    """What the episodes of some tags start with."""
    return {envs[tag].env_config.prompt_style for tag in tags}
