"""The keys of a GRPO run on the local engine, under ROLL's names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from tau_retail_env.blocks import Block, Instead, Off, raise_if, read
from tau_retail_env.config.environments import CustomEnv, check_environments
from tau_retail_env.config.run import MOST_STEPS
from tau_retail_env.config.tasks import check_tasks, unread_source
from tau_retail_env.config.users import user_problems
from tau_retail_env.local.config.managers import EnvManager, check_generating, check_manager, check_val_batch_size
from tau_retail_env.local.config.run import LocalRun
from tau_retail_env.local.config.unread import unread_by_local
from tau_retail_env.local.config.workers import ActorInfer, ActorTrain, GeneratingArgs, Reference
from tau_retail_env.runs.early_stop import stop_problems
from tau_retail_env.runs.trackers import check_tracker_kwargs

KL_IN_LOSS = "The local engine keeps KL to the reference in the loss: use use_kl_loss: true and kl_loss_coef."
BASELINE = "Advantages come from reward_normalization alone: remove the key."
CLIPPED_PPO = "The local engine has the clipped PPO objective only: remove the key."


class RewardNormalization(Block):
    """How episode rewards become advantages."""

    grouping: Annotated[Literal["traj_group_id"], Instead("Rewards are compared with those of the same task.")]
    """Which episodes are compared: those of one task."""
    method: Annotated[Literal["mean_std", "mean"], Instead("GRPO subtracts the mean of the group.")]
    """mean_std divides by the group's standard deviation as well, mean does not."""


class LocalConfig(LocalRun):
    """One GRPO run: everything the local engine reads, checked."""

    adv_estimator: Annotated[Literal["grpo"], Instead("The local engine has no critic and one estimator.")]
    """How advantages are estimated: grpo."""
    max_steps: int = Field(ge=1, le=MOST_STEPS)
    """Training steps; one step plays rollout_batch_size episodes and learns from them."""
    rollout_batch_size: int = Field(ge=1)
    """Episodes played in a step."""
    val_batch_size: int = Field(ge=1)
    """Episodes of one evaluation: num_env_groups times group_size of val_env_manager."""
    sequence_length: int = Field(ge=2)
    """Tokens of a whole episode at most: prompt, answers and tool results."""
    ppo_epochs: int = Field(1, ge=1)
    """Passes over the episodes of a step."""
    pg_clip: float = Field(0.2, gt=0, lt=1)
    """How far the probability ratio may move before its gradient is cut."""
    use_pg_clip_range: bool = False
    """True takes pg_clip_low and pg_clip_high instead of pg_clip."""
    pg_clip_low: float = Field(0.2, gt=0, lt=1)
    """Lower range of the probability ratio."""
    pg_clip_high: float = Field(0.2, gt=0)
    """Upper range of the probability ratio."""
    use_kl_loss: bool = False
    """Adds the KL divergence to the reference (k3 estimate) to the loss."""
    kl_loss_coef: float = Field(0.0, ge=0)
    """Weight of the KL divergence in the loss."""
    entropy_loss_coef: float = Field(0.0, ge=0)
    """Weight of the entropy in the loss; above 0 keeps the actor undecided for longer."""
    loss_agg_mode: Literal["seq-mean-token-mean", "token-mean"] = "seq-mean-token-mean"
    """How the losses of tokens become one number."""
    max_grad_norm: float = Field(1.0, gt=0)
    """Longest gradient; a longer one is shortened to it."""
    reward_normalization: RewardNormalization
    """How episode rewards become advantages."""
    actor_train: ActorTrain = Field(default_factory=ActorTrain)
    """The role whose weights are trained."""
    actor_infer: ActorInfer = Field(default_factory=ActorInfer)
    """The role that plays."""
    reference: Reference = Field(default_factory=Reference)
    """The frozen weights that the KL divergence is measured against."""
    train_env_manager: EnvManager
    """What is played for training."""
    curriculum: float | None = Field(None, gt=0, le=1)
    """Draws the tasks of training by the current success of their kind, but for this share of the groups; null visits
    every task once before any twice."""
    val_env_manager: EnvManager
    """What is played for judging."""
    custom_envs: Mapping[str, CustomEnv]
    """Environments by tag."""
    async_generation_ratio: Annotated[Literal[0], Instead("The local engine plays and learns in turn.")] = 0
    """ROLL's key; only 0 can be honoured."""
    add_token_level_kl: Annotated[Off, Instead(KL_IN_LOSS)] = False
    """ROLL's key; only false can be honoured."""
    init_kl_coef: Annotated[Literal[0], Instead(KL_IN_LOSS)] = 0
    """ROLL's key; only 0 can be honoured."""
    whiten_advantages: Annotated[Off, Instead(BASELINE)] = False
    """ROLL's key; only false can be honoured."""
    advantage_clip: Annotated[None, Instead(BASELINE)] = None
    """ROLL's key; only null can be honoured."""
    dual_clip_loss: Annotated[Off, Instead(CLIPPED_PPO)] = False
    """ROLL's key; only false can be honoured."""

    @property
    def group_size(self) -> int:
        """Episodes of one task in a step."""
        return self.train_env_manager.group_size

    @property
    def groups_per_step(self) -> int:
        """Tasks played in a step."""
        return self.rollout_batch_size // self.group_size

    @property
    def updates_per_step(self) -> int:
        """Updates of the weights in a step."""
        training = self.actor_train.training_args
        batch_size = training.per_device_train_batch_size * training.gradient_accumulation_steps
        return self.rollout_batch_size // batch_size * self.ppo_epochs

    @property
    def train_generating_args(self) -> GeneratingArgs:
        """How training episodes are sampled."""
        return _generating(self.actor_infer, self.train_env_manager)

    @property
    def val_generating_args(self) -> GeneratingArgs:
        """How evaluation episodes are sampled."""
        return _generating(self.actor_infer, self.val_env_manager)


def check_local(
    values: Mapping[str, Any], of_machine: Callable[[LocalConfig], Iterable[str]] = lambda _: ()
) -> LocalConfig:
    """Check a composed configuration for the local engine.

    Args:
        values: the configuration as `compose` returns it.
        of_machine: what else is wrong with it, on the machine that it is for.

    Returns:
        The configuration as blocks.

    Raises:
        InvalidValueError: lists every key that is unknown, cannot be honoured, or is impossible.
    """
    config = read(LocalConfig, values, unread=unread_by_local).resumed()
    raise_if(
        [
            *_check_sizes(config),
            *_check_play(config),
            *_check_kl(config),
            *stop_problems(config.stop_after_worse, eval_steps=config.eval_steps, last_step=config.max_steps),
            *check_tracker_kwargs(config.track_with, config.tracker_kwargs),
            *of_machine(config),
        ]
    )
    return config


def _generating(actor_infer: ActorInfer, manager: EnvManager) -> GeneratingArgs:
    generating = actor_infer.generating_args or manager.generating_args
    assert generating is not None, "checked by check_local"
    return generating


def _check_sizes(config: LocalConfig) -> list[str]:
    manager, training = config.train_env_manager, config.actor_train.training_args
    problems = training.problems("actor_train.training_args")
    batch = config.rollout_batch_size
    if manager.group_size < 2:
        problems.append(
            f"train_env_manager.group_size: found {manager.group_size}, expected 2 or more: "
            "GRPO compares the episodes of one task"
        )
    if batch % manager.num_envs():
        problems.append(
            f"rollout_batch_size: {batch} is not a multiple of the {manager.num_envs()} environments "
            f"(train_env_manager.num_env_groups {manager.num_env_groups} x group_size {manager.group_size})"
        )
    update = training.per_device_train_batch_size * training.gradient_accumulation_steps
    if batch % update:
        problems.append(
            f"actor_train.training_args: per_device_train_batch_size {training.per_device_train_batch_size} x "
            f"gradient_accumulation_steps {training.gradient_accumulation_steps} does not divide "
            f"rollout_batch_size {batch}"
        )
    return problems + check_val_batch_size(config.val_batch_size, config.val_env_manager)


def _check_play(config: LocalConfig) -> list[str]:
    problems = [
        *check_environments(config.custom_envs, config.sequence_length),
        *user_problems(config, config.custom_envs),
    ]
    managers = {"train_env_manager": config.train_env_manager, "val_env_manager": config.val_env_manager}
    for path, manager in managers.items():
        problems += check_manager(path, manager, config.custom_envs)
        problems += check_generating(path, config.actor_infer.generating_args, manager, config.sequence_length)
    tags = config.train_env_manager.tags + config.val_env_manager.tags
    problems += check_tasks(config.custom_envs, tags)
    if "task_source" in config.model_fields_set:
        problems += unread_source(config.task_source, config.custom_envs, tags)
    train = config.actor_infer.generating_args or config.train_env_manager.generating_args
    if train is not None and train.temperature == 0:
        problems.append(
            "train_env_manager.generating_args.temperature: 0 plays every episode of a group alike, "
            "so that GRPO has nothing to compare; expected more than 0"
        )
    path = "actor_infer.generating_args" if config.actor_infer.generating_args else "train_env_manager.generating_args"
    for name, off in (("top_p", 1.0), ("top_k", 0)):
        if train is not None and (found := getattr(train, name)) != off:
            problems.append(
                f"{path}.{name}: found {found}, expected {off:g} in training: the update takes log-probabilities of "
                "all tokens (at this temperature), so that ratio and KL would be of another policy than the one that "
                "plays; val_env_manager.generating_args may have it"
            )
    return list(dict.fromkeys(problems))  # both managers may have the same


def _check_kl(config: LocalConfig) -> list[str]:
    if config.use_kl_loss and config.kl_loss_coef == 0:
        return ["kl_loss_coef: found 0, expected more than 0 with use_kl_loss: true"]
    if not config.use_kl_loss and config.kl_loss_coef > 0:
        return [f"use_kl_loss: false, but kl_loss_coef is {config.kl_loss_coef}; set use_kl_loss: true"]
    return []
