"""Check a composed configuration for the ROLL engine: needs neither ROLL nor a GPU."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from tau_retail_env.blocks import Instead, Items, Off, raise_if, read
from tau_retail_env.config.environments import CustomEnv, check_environments
from tau_retail_env.config.roll_schema import PINNED, WITH_DEEPSPEED, RollSchema
from tau_retail_env.config.run import RunConfig
from tau_retail_env.config.tasks import check_tasks, unread_source
from tau_retail_env.config.users import user_problems
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.models.shipped import checkpoint
from tau_retail_env.roll.config import device_rules, ppo_rules, rules
from tau_retail_env.roll.config.rules import RollValues
from tau_retail_env.roll.config.unread import check_unread
from tau_retail_env.runs.trackers import check_tracker_kwargs, secrets_in
from tau_retail_env.users import API_STRATEGIES
from tau_retail_env.users.spec import Strategy

OWN_KEYS = (
    "user_strategy",
    "user_model",
    "user",
    "task_source",
    "task_version",
    "reward",
    "task_subset",
    "max_turns",
    "prompt_style",
    "engine",
    "resume",
    "infer_gpu_memory",
    "engines_per_gpu",
    "num_gpus",
    "warm_start",
    "min_success",
    "filter_groups",
    "stop_after_worse",
)
"""Keys at the top that ROLL does not have, or that mean something else there (`reward`: a model that gives it)."""
LOCAL_KEYS = ("curriculum",)
"""Keys at the top of the local engine's runs that neither ROLL has nor these runs read."""
MIN_SUCCESS = 0.03
"""`min_success` after a warm start: below it most steps of 128 episodes hold fewer than four successes."""
UNPROVEN = {"sglang": "SGLang", "deepspeed_train": "DeepSpeed", "deepspeed_infer": "DeepSpeed"}
"""Strategies with which no run on a GPU is recorded, and whose they are."""
NOT_HONOURED = {
    "agent_system_template": "cannot be honoured, the environment has its own system text: choose it with prompt_style",
    "agent_template": "cannot be honoured, the model's own chat template renders the messages: remove the key",
    "tool_wrapper": "cannot be honoured, the tools are the environment's own: remove the key",
}
"""Keys of a block under custom_envs that ROLL's own env managers read."""


class RollEnv(CustomEnv):
    """One tag as ROLL's workers read it."""

    env_manager_cls: Annotated[
        Literal["tau_retail_env.roll.env_manager.TauRetailEnvManager"],
        Instead("ROLL's own managers do not render the tools."),
    ]
    """The class that plays an episode in ROLL's worker."""
    use_thread_lock: Annotated[Off, Instead("It makes all environments of a worker wait for each other.")] = False
    """ROLL's lock around an environment."""
    max_env_step_concurrent: int = Field(0, ge=0)
    """Steps of this tag's environments at once, over all workers; 0 does not limit them."""
    trajectory_share: float = Field(1.0, ge=0, le=1)
    """Share of the groups whose trajectories are written to the run's folder."""


class RollConfig(RunConfig):
    """What the ROLL engine itself reads; ROLL reads the whole composed configuration."""

    engine: Annotated[Literal["auto", "roll"], Instead("For engine: local use --config-name tau_retail_local.")] = (
        "auto"
    )
    """What trains: roll; auto picks it where ROLL and CUDA are there."""
    track_with: Annotated[
        Literal["tensorboard", "wandb", "swanlab", "stdout"],
        Instead("ROLL hands trackio an argument that it does not take (tags)."),
    ] = "tensorboard"
    """Where metrics go beside JSONL."""
    custom_envs: Mapping[str, RollEnv]
    """Environments by tag."""
    infer_gpu_memory: float = Field(rules.INFER_GPU_MEMORY, gt=0, le=1)
    """Share of a GPU that rollout engines take."""
    engines_per_gpu: int = Field(1, ge=1, le=16)
    """Rollout engines on each GPU, which share `infer_gpu_memory`."""
    warm_start: Literal["sft+rft", "sft", "none"] = "none"
    """What comes before: fine-tuning on conversations of the oracle and on what was then won, the first alone, or
    nothing. Later runs of the same take what was made."""
    min_success: float | None = Field(None, ge=0, le=1)
    """Success on tasks that doing nothing does not win below which the first step ends the run; null is 0.03 after a
    warm start, else 0."""
    filter_groups: bool = False
    """Whether groups of which all episodes earned the same are left out of what is learnt from."""
    version: str = PINNED
    """The version of ROLL that it is for."""
    num_gpus: int = 0
    """GPUs that the roles name, from 0 on."""
    strategies: Items[str] = ()
    """Strategies that ROLL must have."""
    train_tags: Items[str] = ()
    """Tags that are played for training."""
    val_tags: Items[str] = ()
    """Tags that are played for judging."""
    val_places: Mapping[str, int] = Field(default_factory=dict)
    """Tasks that one evaluation asks of a tag: its groups, times the episodes of each; empty where it plays all."""
    sequence_length: int = 0
    """Tokens of a whole episode at most."""
    longest_message: int = 0
    """Tokens of one message at most."""

    @property
    def least_success(self) -> float:
        """`min_success` with its default."""
        if self.min_success is not None:
            return self.min_success
        return 0.0 if self.warm_start == "none" else MIN_SUCCESS

    @property
    def unproven(self) -> list[str]:
        """Backends with which no run on a GPU is recorded."""
        return sorted({UNPROVEN[name] for name in self.strategies if name in UNPROVEN})


def check_roll(values: Mapping[str, Any]) -> RollConfig:
    """Check a composed configuration for the ROLL engine.

    Args:
        values: the configuration as `compose` returns it.

    Returns:
        What the engine itself reads.

    Raises:
        InvalidValueError: lists every key that is unknown, of the wrong type, impossible, or silently without effect.
    """
    if not is_for_roll(values):
        raise InvalidValueError(
            "actor_infer.strategy_args.strategy_name: expected vllm or sglang (infer=vllm); "
            "configurations for ROLL are tau_retail_config, tau_retail_1gpu and tau_retail_grpo"
        )
    schema = RollSchema.load(version_wanted(values))
    raise_if(list(_keys_and_types(values, schema)))
    own = RunConfig.model_fields.keys() | {
        *("custom_envs", "infer_gpu_memory", "engines_per_gpu", "warm_start", "min_success", "filter_groups")
    }
    config = read(
        RollConfig,
        {name: value for name, value in values.items() if name in own},
        unread=lambda block: NOT_HONOURED if re.fullmatch(r"custom_envs\.[^.]+", block) else {},
    ).resumed()
    asked = RollValues(values, schema)
    raise_if(
        [
            *check_environments(config.custom_envs, asked("sequence_length")),
            *user_problems(config, config.custom_envs),
            *check_tracker_kwargs(config.track_with, config.tracker_kwargs, beside_roll=True),
            *_secret_variables(values),
        ]
    )
    raise_if(list(rules.check_counts(asked)))
    raise_if(list(_rules(asked, config)))
    train, val = (tuple(asked(f"{manager}.tags")) for manager in rules.MANAGERS)
    raise_if(check_tasks(config.custom_envs, train + val))
    if "task_source" in values:
        raise_if(unread_source(config.task_source, config.custom_envs, train + val))
    return config.model_copy(
        update={
            "version": schema.version,
            "num_gpus": 1 + max(device for role in asked.roles for device in asked.devices(role)),
            "strategies": tuple(sorted({name for role in asked.roles if (name := asked.strategy(role))})),
            "train_tags": train,
            "val_tags": val,
            "val_places": _val_places(asked),
            "sequence_length": asked("sequence_length"),
            "longest_message": rules.longest_message(asked),
        }
    )


def version_wanted(values: Mapping[str, Any]) -> str:
    """The version of ROLL that a configuration is for: DeepSpeed went after v0.2.1."""
    blocks = [values.get(role) for role in rules.ROLES]
    args = [block.get("strategy_args") for block in blocks if isinstance(block, Mapping)]
    names = [str(block.get("strategy_name")) for block in args if isinstance(block, Mapping)]
    return WITH_DEEPSPEED if any(name.startswith("deepspeed") for name in names) else PINNED


def is_for_roll(values: Mapping[str, Any]) -> bool:
    """Whether a configuration asks for something that only ROLL has: a rollout engine of its own."""
    block = values.get("actor_infer")
    args = block.get("strategy_args") if isinstance(block, Mapping) else None
    return isinstance(args, Mapping) and args.get("strategy_name") in ("vllm", "sglang")


def roll_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """What is handed to ROLL: without our own keys, with the folder of `small`, device_mapping as text.

    A null that is ROLL's default is left out: ROLL refuses it where it writes the type of a number beside it.
    """
    schema = RollSchema.load(version_wanted(values))
    kept = {name: value for name, value in values.items() if name not in OWN_KEYS}
    kept = {name: value for name, value in kept.items() if value is not None or schema.default(name) is not None}
    for name in ("pretrain", "reward_pretrain"):
        if isinstance(pretrain := kept.get(name), str):
            kept[name] = checkpoint(pretrain)
    for role in rules.ROLES:
        if isinstance(block := kept.get(role), Mapping) and isinstance(block.get("device_mapping"), (list, tuple)):
            kept[role] = {**block, "device_mapping": str(list(block["device_mapping"]))}
    return kept


def fit_groups(values: Mapping[str, Any], counts: Mapping[str, int]) -> dict[str, Any]:
    """Give no tag of a validation that plays every task more groups than it has tasks.

    With val_batch_size -1 the groups only say how much is played side by side, so this changes nothing else.

    Args:
        values: the configuration as composed and checked.
        counts: tasks of each tag.

    Returns:
        The configuration, changed where val_batch_size is -1 and there are too many groups.
    """
    manager = values["val_env_manager"]
    if values["val_batch_size"] >= 0:
        return dict(values)
    groups = [min(own, counts[tag]) for tag, own in zip(manager["tags"], manager["num_groups_partition"], strict=True)]
    fitted = {**manager, "num_groups_partition": groups, "num_env_groups": sum(groups)}
    return {**values, "val_env_manager": fitted}


def _val_places(asked: RollValues) -> dict[str, int]:
    """Tasks that one evaluation asks of each tag; none where it plays whatever there is."""
    envs = asked("val_env_manager.num_env_groups") * asked("val_env_manager.group_size")
    if asked("val_batch_size") < 0:
        return {}
    groups = zip(asked("val_env_manager.tags"), asked("val_env_manager.num_groups_partition"), strict=True)
    return {tag: count * (asked("val_batch_size") // envs) for tag, count in groups}


def _behind_an_api(asked: RollValues, config: RollConfig) -> list[str]:
    """Training tags whose customer is behind an API; problems of a customer are reported elsewhere."""
    tags = [tag for tag in asked("train_env_manager.tags") if tag in config.custom_envs]
    return [tag for tag in tags if _weights(config.custom_envs[tag].env_config.user_strategy) & set(API_STRATEGIES)]


def _weights(strategy: Strategy) -> set[str]:
    return {strategy} if isinstance(strategy, str) else set(strategy)


def _keys_and_types(values: Mapping[str, Any], schema: RollSchema) -> Iterator[str]:
    """Keys that nobody reads, or the local engine alone, and values of another type."""
    for name in LOCAL_KEYS:
        if name in values:
            yield f"{name}: only the local engine reads it (--config-name tau_retail_local); remove it"
    others = {name: value for name, value in values.items() if name not in LOCAL_KEYS}
    yield from schema.problems(others, own=OWN_KEYS)


def _secret_variables(values: Mapping[str, Any]) -> Iterator[str]:
    """Environment variables that hold a secret: they would stand in config.yaml, and where ROLL's tracker writes."""
    blocks = {"": values, **{f"{role}.": values.get(role) for role in (*rules.ROLES, *rules.MANAGERS)}}
    for prefix, block in blocks.items():
        for path in secrets_in((block or {}).get("system_envs"), f"{prefix}system_envs"):
            yield f"{path}: secrets come from the environment only; remove the key and set the variable in the shell"


def _rules(asked: RollValues, config: RollConfig) -> Iterator[str]:
    yield from check_unread(asked)
    yield from rules.check_strategies(asked)
    yield from rules.check_models(asked)
    yield from ppo_rules.check_critic(asked)
    yield from ppo_rules.check_kl(asked)
    yield from ppo_rules.check_normalization(asked)
    yield from ppo_rules.check_filter(asked)
    yield from ppo_rules.check_masked(asked, _behind_an_api(asked, config))
    yield from ppo_rules.check_clipping(asked)
    yield from ppo_rules.check_updates(asked)
    yield from ppo_rules.check_correction(asked)
    yield from rules.check_async(asked)
    yield from rules.check_sampling(asked)
    yield from rules.check_engine(asked)
    yield from rules.check_managers(asked, list(config.custom_envs))
    yield from rules.check_filters(asked)
    yield from device_rules.check_devices(asked)
    yield from device_rules.check_engines(asked)
    yield from device_rules.check_megatron(asked)
    yield from rules.check_sizes(asked)
    yield from rules.check_checkpoints(asked)
    yield from rules.check_early_stop(asked)
    played = {tag for manager in rules.MANAGERS for tag in asked(f"{manager}.tags")} & set(config.custom_envs)
    kinds = {tag: (env.env_config.source, env.env_config.prompt_style) for tag, env in config.custom_envs.items()}
    yield from rules.check_prompt(asked, {tag: kinds[tag] for tag in sorted(played)})
