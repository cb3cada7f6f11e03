"""The blocks that say what is played: environments by tag, and how many of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from tau_retail_env.config.roles import GeneratingArgs
from tau_retail_env.config.schema import Refusing, key

ONE_PROCESS = "The local engine plays all environments in one process: remove the key."


@dataclass(frozen=True, kw_only=True)
class EnvironmentConfig(Refusing):
    """What is handed to `TauRetailEnv`: every field is an argument of its."""

    source: str = key()
    """Where the tasks come from: tau2, tau_bench or generated."""
    split: str = key()
    """The source's split, such as train or test."""
    task_version: str | float | None = key(None)
    """Which edition of the source's tasks, such as 1.0 of tau2; null for the source's default. YAML reads a number."""
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
    nl_judge: str = key("rules", only=("rules", "openai"))
    """Who judges the assertions of τ² 1.0's tasks: rules needs no model, openai asks one as upstream does."""
    nl_judge_model: str | None = key(None)
    """Name of the model behind nl_judge openai; null for upstream's default."""
    nl_judge_config: Mapping[str, Any] = key(dict)
    """Everything else about that model, such as base_url and cassette, named as in user."""
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


@dataclass(frozen=True, kw_only=True)
class EnvManager(Refusing):
    """How many environments play side by side, of which tags."""

    refused: ClassVar[Mapping[str, str]] = {
        "max_env_num_per_worker": ONE_PROCESS,
        "worker_cls": ONE_PROCESS,
        "world_size": ONE_PROCESS,
        "max_traj_per_env": "It follows from rollout_batch_size (or val_batch_size): remove the key.",
        "group_size_redundancy": "Every episode that was begun is used: remove the key.",
        "group_filter_cls": "Episodes that cannot be scored are left out of the loss: remove the key.",
        "llm_proxy": "The actor itself generates: remove the key.",
        "system_envs": "Set environment variables in the shell.",
        "format_penalty": "The reward is upstream's own: remove the key.",
        "model_args": "The actor's model plays: see actor_train.model_args.",
        "data_args": "The model's own chat template is used: remove the key.",
        "strategy_args": "See actor_infer.strategy_args.",
    }

    num_env_groups: int = key(minimum=1)
    """Groups of environments; each group plays one task at a time."""
    group_size: int = key(1, minimum=1)
    """Environments in a group: episodes of the same task, told in the same words."""
    tags: tuple[str, ...] = key()
    """Names under custom_envs."""
    num_groups_partition: tuple[int, ...] | None = key(None)
    """Groups by tag, in the order of tags; null divides them equally."""
    generating_args: GeneratingArgs | None = key(None)
    """How the agent's messages are sampled."""

    def partition(self) -> tuple[int, ...]:
        """Groups by tag, in the order of `tags`."""
        if self.num_groups_partition is not None:
            return self.num_groups_partition
        share, rest = divmod(self.num_env_groups, len(self.tags))
        return tuple(share + (place < rest) for place in range(len(self.tags)))

    def num_envs(self) -> int:
        """Environments that play side by side."""
        return self.num_env_groups * self.group_size


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


def check_manager(path: str, manager: EnvManager, envs: Mapping[str, CustomEnv]) -> list[str]:
    """What is wrong with one env manager, each problem by its full path."""
    problems = []
    if not manager.tags:
        problems.append(f"{path}.tags: empty; name at least one of custom_envs: {', '.join(envs)}")
    for tag in manager.tags:
        if tag not in envs:
            problems.append(f"{path}.tags: {tag!r} is not under custom_envs ({', '.join(envs)})")
    given = manager.num_groups_partition
    if given is not None and (len(given) != len(manager.tags) or sum(given) != manager.num_env_groups):
        problems.append(
            f"{path}.num_groups_partition: found {list(given)}, expected one number for each of the "
            f"{len(manager.tags)} tags, together {manager.num_env_groups} (num_env_groups)"
        )
    return problems
