"""The keys of a GRPO run on the local engine, under ROLL's names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from tau_retail_env.config.customers import customer_problems
from tau_retail_env.config.environments import CustomEnv, EnvManager, check_environments, check_manager
from tau_retail_env.config.roles import ActorInfer, ActorTrain, GeneratingArgs, Reference
from tau_retail_env.config.run import RUN_REFUSALS, RunConfig
from tau_retail_env.config.schema import Refusing, key, raise_if, read
from tau_retail_env.config.tasks import check_tasks
from tau_retail_env.trackers import check_tracker_kwargs

NO_CRITIC = "The local engine has no critic; GRPO takes the mean of the group as the baseline: remove the key."
KL_IN_LOSS = "The local engine keeps KL to the reference in the loss: use use_kl_loss: true and kl_loss_coef."
BASELINE = "Advantages come from reward_normalization alone: remove the key."
CLIPPED_PPO = "The local engine has the clipped PPO objective only: remove the key."


@dataclass(frozen=True, kw_only=True)
class RewardNormalization(Refusing):
    """How episode rewards become advantages."""

    refused: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("norm_mean_type", "norm_std_type"), "Use grouping: traj_group_id and method."),
        **dict.fromkeys(("global_scale_factor", "global_shift_value"), "The reward is upstream's own: remove the key."),
    }

    grouping: str = key("batch", only=("traj_group_id",), instead="Rewards are compared with those of the same task.")
    """Which episodes are compared: those of one task."""
    method: str = key("identity", only=("mean_std", "mean"), instead="GRPO subtracts the mean of the group.")
    """mean_std divides by the group's standard deviation as well, mean does not."""


@dataclass(frozen=True, kw_only=True)
class LocalConfig(RunConfig):
    """One GRPO run: everything the local engine reads, checked."""

    refused: ClassVar[Mapping[str, str]] = {
        **RUN_REFUSALS,
        **dict.fromkeys(
            ("critic", "reward_pretrain", "critic_warmup", "lambd", "gamma", "value_clip"),
            NO_CRITIC,
        ),
        **dict.fromkeys(("target_kl", "kl_horizon", "kl_penalty"), KL_IN_LOSS),
        **dict.fromkeys(
            (
                "whiten_rewards",
                "use_reward_scaling",
                "use_reward_norm",
                "norm_mean_type",
                "norm_std_type",
                "add_len_reward",
                "reward_clip",
                "episode_reward_weight",
                "step_reward_weight",
                "step_reward_gamma",
            ),
            BASELINE,
        ),
        **dict.fromkeys(("ratio_type", "train_infer_correction", "l2"), CLIPPED_PPO),
        **dict.fromkeys(
            ("teacher", "student_train", "student_infer", "is_pure_opd", "use_opd", "pure_opd_pipeline_type"),
            "Distillation is not supported: remove the key.",
        ),
        "reward": "The environment gives the reward: remove the key.",
        "enable_reference": "The reference is there when use_kl_loss is true: remove the key.",
        "enable_old_logprobs_recompute": "Old log-probabilities are computed where an update needs them: remove it.",
        "force_disable_old_logprobs_recompute": "Old log-probabilities are computed where an update needs them.",
    }

    adv_estimator: str = key(only=("grpo",), instead="The local engine has no critic and one estimator.")
    """How advantages are estimated: grpo."""
    max_steps: int = key(minimum=1)
    """Training steps; one step plays rollout_batch_size episodes and learns from them."""
    rollout_batch_size: int = key(minimum=1)
    """Episodes played in a step."""
    val_batch_size: int = key(minimum=1)
    """Episodes of one evaluation: num_env_groups times group_size of val_env_manager."""
    sequence_length: int = key(minimum=2)
    """Tokens of a whole episode at most: prompt, answers and tool results."""
    ppo_epochs: int = key(1, minimum=1)
    """Passes over the episodes of a step."""
    pg_clip: float = key(0.2, above=0)
    """How far the probability ratio may move before its gradient is cut."""
    use_pg_clip_range: bool = key(False)
    """True takes pg_clip_low and pg_clip_high instead of pg_clip."""
    pg_clip_low: float = key(0.2, above=0)
    """Lower range of the probability ratio."""
    pg_clip_high: float = key(0.2, above=0)
    """Upper range of the probability ratio."""
    use_kl_loss: bool = key(False)
    """Adds the KL divergence to the reference (k3 estimate) to the loss."""
    kl_loss_coef: float = key(0.0, minimum=0)
    """Weight of the KL divergence in the loss."""
    entropy_loss_coef: float = key(0.0, minimum=0)
    """Weight of the entropy in the loss; above 0 keeps the actor undecided for longer."""
    loss_agg_mode: str = key("seq-mean-token-mean", only=("seq-mean-token-mean", "token-mean"))
    """How the losses of tokens become one number."""
    max_grad_norm: float = key(1.0, above=0)
    """Longest gradient; a longer one is shortened to it."""
    reward_normalization: RewardNormalization = key(RewardNormalization)
    """How episode rewards become advantages."""
    actor_train: ActorTrain = key(ActorTrain)
    """The role whose weights are trained."""
    actor_infer: ActorInfer = key(ActorInfer)
    """The role that plays."""
    reference: Reference = key(Reference)
    """The frozen weights that the KL divergence is measured against."""
    train_env_manager: EnvManager = key()
    """What is played for training."""
    val_env_manager: EnvManager = key()
    """What is played for judging."""
    custom_envs: Mapping[str, CustomEnv] = key()
    """Environments by tag."""
    async_generation_ratio: float = key(0, only=(0,), instead="The local engine plays and learns in turn.")
    """ROLL's key; only 0 can be honoured."""
    add_token_level_kl: bool = key(False, only=(False,), instead=KL_IN_LOSS)
    """ROLL's key; only false can be honoured."""
    init_kl_coef: float = key(0.0, only=(0.0,), instead=KL_IN_LOSS)
    """ROLL's key; only 0 can be honoured."""
    whiten_advantages: bool = key(False, only=(False,), instead=BASELINE)
    """ROLL's key; only false can be honoured."""
    advantage_clip: float | None = key(None, only=(None,), instead=BASELINE)
    """ROLL's key; only null can be honoured."""
    dual_clip_loss: bool = key(False, only=(False,), instead=CLIPPED_PPO)
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


def check_local(values: Mapping[str, Any]) -> LocalConfig:
    """Check a composed configuration for the local engine.

    Args:
        values: the configuration as `compose` returns it.

    Returns:
        The configuration as dataclasses.

    Raises:
        InvalidValueError: lists every key that is unknown, cannot be honoured, or is impossible.
    """
    config = read(LocalConfig, values)
    config = replace(config, resume=config.resume or config.resume_from_checkpoint)
    raise_if(
        [
            *_check_sizes(config),
            *_check_play(config),
            *_check_kl(config),
            *check_tracker_kwargs(config.track_with, config.tracker_kwargs),
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
    if config.val_batch_size != config.val_env_manager.num_envs():
        problems.append(
            f"val_batch_size: found {config.val_batch_size}, expected {config.val_env_manager.num_envs()} "
            f"(val_env_manager.num_env_groups {config.val_env_manager.num_env_groups} x group_size "
            f"{config.val_env_manager.group_size})"
        )
    return problems


def _check_play(config: LocalConfig) -> list[str]:
    problems = [*check_environments(config.custom_envs), *customer_problems(config, config.custom_envs)]
    managers = {"train_env_manager": config.train_env_manager, "val_env_manager": config.val_env_manager}
    for path, manager in managers.items():
        problems += check_manager(path, manager, config.custom_envs)
        problems += check_generating(path, config.actor_infer.generating_args, manager, config.sequence_length)
    problems += check_tasks(config.custom_envs, config.train_env_manager.tags + config.val_env_manager.tags)
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
    return problems


def check_generating(path: str, shared: GeneratingArgs | None, manager: EnvManager, sequence_length: int) -> list[str]:
    """What is wrong with how one env manager samples, each problem by its full path."""
    own = manager.generating_args
    if shared is not None and own is not None and own != shared:
        return [
            f"{path}.generating_args: actor_infer.generating_args would override it; "
            "keep only one (that of each env manager, where training and evaluation differ)"
        ]
    used = shared or own
    if used is None:
        return [f"{path}.generating_args: missing. Expected at least max_new_tokens"]
    if used.max_new_tokens >= sequence_length:
        return [
            f"sequence_length: {sequence_length} is too small for one message of "
            f"{used.max_new_tokens} tokens ({path}.generating_args.max_new_tokens)"
        ]
    return []


def _check_kl(config: LocalConfig) -> list[str]:
    if config.use_kl_loss and config.kl_loss_coef == 0:
        return ["kl_loss_coef: found 0, expected more than 0 with use_kl_loss: true"]
    if not config.use_kl_loss and config.kl_loss_coef > 0:
        return [f"use_kl_loss: false, but kl_loss_coef is {config.kl_loss_coef}; set use_kl_loss: true"]
    return []
