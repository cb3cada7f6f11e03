"""The blocks that say what is played: environments by tag."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, SkipValidation

from tau_retail_env.blocks import Block, Filled, Instead, Items
from tau_retail_env.sources.prompts import PromptStyle
from tau_retail_env.users.spec import Strategy
from tau_retail_env.world.settings import RewardSettings


class EnvironmentConfig(Block):
    """What is handed to `TauRetailEnv`: every field is an argument of its."""

    source: str
    """Where the tasks come from: tau2, tau_bench or generated."""
    split: str
    """The source's split, such as train or test."""
    task_version: str | float | None = None
    """Which edition of the source's tasks, such as 1.0 of tau2; null for the source's default. YAML reads a number."""
    task_subset: str = "all"
    """Tasks whose gold actions contain a kind, such as returns; all; a+b."""
    exclude_tasks: Items[str] = ()
    """Ids of tasks of the split that are left out, such as [tau_bench/train/418]; of a part's whole split, too."""
    task_file: Filled | None = None
    """A file of tasks of that source and split, as `tau-retail generate` writes it, in place of the source's own."""
    user_strategy: Annotated[Strategy, SkipValidation] = "scripted"  # UserSpec checks it, weights and all
    """Who plays the customer: a name, or weights by name, of which each group of episodes draws one."""
    user_model: str | None = None
    """Name of the model behind an API customer, null for customers without one."""
    user_config: Mapping[str, Any] = Field(default_factory=dict)
    """Everything else about the customer, as its strategy reads it."""
    max_turns: int | None = Field(None, ge=1)
    """Agent messages per episode; null keeps the limits of the source's own benchmark."""
    max_errors: int | None = Field(None, ge=1)
    """Tool errors per episode; null keeps the limits of the source's own benchmark."""
    prompt_style: str = "full"
    """How the domain policy and the tools are shown: full, compressed or minimal."""
    nl_judge: Literal["rules", "openai"] = "rules"
    """Who judges the assertions of τ² 1.0's tasks: rules needs no model, openai asks one as upstream does."""
    nl_judge_model: Filled | None = None
    """Name of the model behind nl_judge openai; null for upstream's default."""
    nl_judge_config: Mapping[str, Any] = Field(default_factory=dict)
    """Everything else about that model, such as base_url and cassette, named as in user."""
    reward: RewardSettings = RewardSettings()
    """Which reward an episode gives: upstream's or the corrected one, and whether the process checks must hold."""
    multiple_calls: Literal["error", "upstream"] = "error"
    """What happens to a message with several tool calls."""


class CustomEnv(Block):
    """One tag: a kind of environment and its settings."""

    env_type: Annotated[Literal["tau_retail"], Instead("It is the only environment of this package.")]
    """ROLL's name of the environment class."""
    max_steps: int | None = Field(None, ge=1)
    """Turns per episode; must be null or equal to env_config.max_turns."""
    max_tokens_per_step: int | None = Field(None, ge=1)
    """Tokens of one agent message; the smaller of this and max_new_tokens counts."""
    max_tokens_per_episode: int | None = Field(None, ge=1)
    """Tokens that the agent may write in an episode; one that needs more ends as one without room. Null: no limit."""
    env_config: EnvironmentConfig
    """What is handed to the environment."""


def check_environments(envs: Mapping[str, CustomEnv], sequence_length: int | None) -> list[str]:
    """What is wrong with the environments, each by its full path.

    Args:
        envs: environments by tag.
        sequence_length: tokens of an episode at most, None where it is missing.
    """
    problems = []
    for tag, env in envs.items():
        turns = env.env_config.max_turns
        if env.max_steps is not None and env.max_steps != turns:
            problems.append(
                f"custom_envs.{tag}.max_steps: found {env.max_steps}, but env_config.max_turns is {turns}; "
                "set both from the top with max_turns"
            )
        if (style := env.env_config.prompt_style) not in tuple(PromptStyle):
            problems.append(
                f"custom_envs.{tag}.env_config.prompt_style: found {style!r}, expected {' or '.join(PromptStyle)}"
            )
        if (tokens := env.max_tokens_per_episode) is not None and tokens >= (sequence_length or math.inf):
            problems.append(
                f"custom_envs.{tag}.max_tokens_per_episode: found {tokens}, which no episode of sequence_length "
                f"{sequence_length} reaches; lower it, or set it to null"
            )
    return problems


def unread_limits(envs: Mapping[str, CustomEnv], tags: Iterable[str]) -> list[str]:
    """What limits the agent's tokens in environments that a model does not play for training or validation."""
    return [
        f"custom_envs.{tag}.{name}: a limit of training, which nothing reads here; set it to null"
        for tag in tags
        if tag in envs
        for name in ("max_tokens_per_step", "max_tokens_per_episode")
        if getattr(envs[tag], name) is not None
    ]


def prompt_styles(envs: Mapping[str, CustomEnv], tags: Iterable[str]) -> set[str]:
    """What the episodes of some tags start with."""
    return {envs[tag].env_config.prompt_style for tag in tags}


def message_limits(values: Mapping[str, Any]) -> dict[str, int]:
    """The most tokens of a message wherever a run with training and validation says them, by the path of the key.

    Args:
        values: the configuration as composed, checked.
    """
    managers = {name: values.get(name) or {} for name in ("train_env_manager", "val_env_manager")}
    found = {}
    for name, block in {"actor_infer": values.get("actor_infer") or {}, **managers}.items():
        found[f"{name}.generating_args.max_new_tokens"] = (block.get("generating_args") or {}).get("max_new_tokens")
    for tag in sorted({tag for manager in managers.values() for tag in manager.get("tags", ())}):
        found[f"custom_envs.{tag}.max_tokens_per_step"] = values["custom_envs"][tag].get("max_tokens_per_step")
    return {path: limit for path, limit in found.items() if limit is not None}
