"""Rules about what ROLL learns from and how it changes the weights: pure functions, each lists problems."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from tau_retail_env.roll.config.rules import LEARNERS, RollValues

OF_TURNS = ("gigpo", "step_reinforce")
"""Estimators that compare single turns."""
GROUPINGS = ("batch", "traj_group_id")
METHODS = ("identity", "mean", "mean_std")
MEGATRON_SCHEDULES = ("linear", "constant", "constant_with_warmup", "cosine", "inverse_sqrt")
SCHEDULES = (*MEGATRON_SCHEDULES, "cosine_with_restarts", "polynomial")
"""Learning rates over time that need no arguments beside the warm-up."""
VARIANT_KEYS = {"pg_variant": None, "topr_positive_weight": 1.0, "topr_negative_weight": 1.0}
"""What only another worker of ROLL's reads, with ROLL's defaults."""


def check_critic(config: RollValues) -> Iterator[str]:
    """What a critic needs, and what would reach it that should not."""
    if not config.has_critic:
        if config("critic_warmup") > 0:
            yield (
                f"critic_warmup: found {config('critic_warmup')}, but adv_estimator {config('adv_estimator')} has no "
                "critic: nothing at all would learn in those steps; expected 0"
            )
        return
    if (config.strategy("critic") or "").startswith("megatron"):
        yield (
            "critic.strategy_args.strategy_name: ROLL has no Megatron value model; "
            "use fsdp2_train for the critic (train=megatron does), or adv_estimator=grpo"
        )
    for name, expected in (("model_type", "auto_token_classification"), ("num_labels", 1)):
        if (found := config(f"critic.model_args.{name}")) != expected:
            yield f"critic.model_args.{name}: found {found}, expected {expected}: other value models are not supported"
    checkpointing = "critic.model_args.disable_gradient_checkpointing"
    if config.given(checkpointing) and not config(checkpointing) and config.strategy("critic") != "fsdp2_train":
        yield (
            f"{checkpointing}: false cannot be honoured, ROLL's value model keeps all activations but on FSDP2; set it "
            "to true"
        )
    if config("critic.apply_loss_scale"):
        yield (
            "critic.apply_loss_scale: true (ROLL's default) multiplies the critic's gradient by micro-batches x GPUs, "
            "beyond the mean of the batch; set it to false"
        )
    if config("ppo_epochs") > 1:
        yield (
            f"ppo_epochs: found {config('ppo_epochs')}, but ROLL's critic learns from each batch once; "
            "expected 1, or adv_estimator=grpo"
        )
    if not (config("reward_pretrain") or config("critic.model_args.model_name_or_path")):
        yield "reward_pretrain: missing, the critic's first weights; say reward_pretrain: ${pretrain}"
    for name in ("lambd", "gamma"):
        if config(name) != 1:
            yield (
                f"{name}: found {config(name)}, expected 1.0: ROLL's GAE runs over every token, and below 1 the values "
                "of the customer's and the tools' tokens leak into the advantages of the actor's"
            )


def check_kl(config: RollValues) -> Iterator[str]:
    """Refuse what looks like KL to the reference and is not."""
    in_reward, in_loss = config("add_token_level_kl"), config("use_kl_loss")
    coefficient, loss_coefficient = config("init_kl_coef"), config("kl_loss_coef")
    if coefficient > 0 and not in_reward and (config.given("init_kl_coef") or not in_loss):
        said = "" if config.given("init_kl_coef") else " (ROLL's default)"
        yield (
            f"add_token_level_kl: false, but init_kl_coef is {coefficient}{said}: this looks like KL to the reference "
            "and is not, ROLL would use the coefficient nowhere. Set add_token_level_kl: true for KL in the reward, or "
            "init_kl_coef: 0.0 (and for KL in the loss use_kl_loss: true with kl_loss_coef)"
        )
    if in_reward and coefficient <= 0:
        yield f"init_kl_coef: found {coefficient}, expected more than 0 with add_token_level_kl: true"
    if loss_coefficient > 0 and not in_loss:
        yield (
            f"use_kl_loss: false, but kl_loss_coef is {loss_coefficient}: ROLL would use the coefficient nowhere. "
            "Set use_kl_loss: true, or kl_loss_coef: 0.0"
        )
    if in_loss and loss_coefficient <= 0:
        yield f"kl_loss_coef: found {loss_coefficient}, expected more than 0 with use_kl_loss: true"
    if config("kl_penalty") == "full":
        yield (
            "kl_penalty: full needs the probabilities of all tokens, of which ROLL keeps only that of the sampled one: "
            "it would stop in the first step; expected kl, abs or mse"
        )
    if config("target_kl") is not None:
        yield (
            f"target_kl: found {config('target_kl')}, but ROLL keeps the coefficient that it steers in no checkpoint: "
            "a resumed run would begin with init_kl_coef again; set it to null"
        )
    if in_reward and config("reward_clip") is not None:
        yield (
            f"reward_clip: found {config('reward_clip')}, with which ROLL would also clip every token's KL in the "
            "reward; rewards lie between 0 and 1 here: set it to null"
        )
    if config("force_disable_old_logprobs_recompute"):
        yield (
            "force_disable_old_logprobs_recompute: true makes the actor's log-probabilities 0, from which KL is taken, "
            "and each update then compares with itself, so that pg_clip does nothing: set it to false"
        )


def check_normalization(config: RollValues) -> Iterator[str]:
    """How rewards become advantages without a critic."""
    if (estimator := config("adv_estimator")) in OF_TURNS:
        yield (
            f"adv_estimator: found {estimator}, which compares single turns, but an episode is one sample here; "
            "expected gae, grpo, reinforce or agentic_reinforce"
        )
    grouping, method = config("reward_normalization.grouping"), config("reward_normalization.method")
    if grouping not in GROUPINGS:
        yield (
            f"reward_normalization.grouping: found {grouping}, expected batch or traj_group_id (the episodes of a task)"
        )
    if method not in METHODS:
        yield f"reward_normalization.method: found {method}, expected {' or '.join(METHODS)}"
    for name in ("norm_mean_type", "norm_std_type"):
        if config(f"reward_normalization.{name}") == "group" and grouping == "batch":
            yield (
                f"reward_normalization.{name}: group, but with grouping batch the whole batch is the group; "
                "use grouping: traj_group_id"
            )
    mean, deviation = _compared(config)
    size = config("train_env_manager.group_size")
    if "group" in (mean, deviation) and size == 1:
        yield (
            "train_env_manager.group_size: found 1, but rewards are compared within their group "
            f"(reward_normalization.grouping: {grouping}): every advantage would be 0; expected 2 or more"
        )
    if config("adv_estimator") == "grpo" and mean != "group":
        yield (
            f"reward_normalization: found grouping {grouping} and method {method}, but adv_estimator grpo "
            "compares the episodes of one task: use grouping: traj_group_id and method: mean_std"
        )


def check_filter(config: RollValues) -> Iterator[str]:
    """Leaving out groups without a signal, where rewards are not compared within them, or no update would be saved."""
    if not config.values.get("filter_groups"):
        return
    grouping, method = config("reward_normalization.grouping"), config("reward_normalization.method")
    mean, _ = _compared(config)
    if grouping != "traj_group_id" or mean != "group":
        of_batch = " and norm_mean_type batch" if config("reward_normalization.norm_mean_type") == "batch" else ""
        yield (
            f"filter_groups: true leaves out groups that all earned the same, but with reward_normalization grouping "
            f"{grouping} and method {method}{of_batch} something is learnt from them, too; expected "
            "reward_normalization.grouping: traj_group_id and .method: mean or mean_std"
            f"{' without norm_mean_type' if of_batch else ''}, or filter_groups: false"
        )
    episodes = config("rollout_batch_size")
    learners = [role for role in LEARNERS if role in config.roles]
    updates, reads = sizes_of_parts(config)
    if math.lcm(*updates.values()) >= episodes:
        yield (
            f"filter_groups: true leaves out nothing where an update takes all {episodes} episodes of a step "
            f"(rollout_batch_size), as here: lower gradient_accumulation_steps of {' and '.join(learners)}, or set "
            "filter_groups: false"
        )
    elif math.lcm(*updates.values(), *reads.values()) >= episodes:
        yield (
            f"filter_groups: true leaves out nothing where only all {episodes} episodes of a step "
            "(rollout_batch_size) are a multiple of what roles read at once and of their updates, as here "
            f"({', '.join(f'{name}: {size} episodes' for name, size in {**updates, **reads}.items())}): make these "
            "divide one another, or set filter_groups: false"
        )


def sizes_of_parts(config: RollValues) -> tuple[dict[str, int], dict[str, int]]:
    """Episodes of an update, and what a role reads at once, by key: of all these what is learnt from is a multiple."""
    learners = [role for role in LEARNERS if role in config.roles]
    updates = {f"{role}.training_args.gradient_accumulation_steps": config.update_size(role) for role in learners}
    reads = {
        f"{role}.infer_batch_size": config(f"{role}.infer_batch_size") * config.data_parallel(role)
        for role in (*learners, "reference")
        if role in config.roles
    }
    return updates, reads


def _compared(config: RollValues) -> tuple[str | None, str | None]:
    """With whose mean, and whose deviation, ROLL compares a reward: the batch's, the group's, nobody's."""
    grouping, method = config("reward_normalization.grouping"), config("reward_normalization.method")
    derived = None if method == "identity" else "batch" if grouping == "batch" else "group"
    mean = config("reward_normalization.norm_mean_type") or derived
    return mean, config("reward_normalization.norm_std_type") or (derived if method == "mean_std" else None)


def check_masked(config: RollValues, failing: Sequence[str]) -> Iterator[str]:
    """Refuse a baseline that an episode would shift which is left out of the training because its customer failed.

    Args:
        config: the configuration.
        failing: the training tags whose customer is behind an API.
    """
    if not failing:
        return
    grouping, method = config("reward_normalization.grouping"), config("reward_normalization.method")
    if "batch" in _compared(config):
        yield (
            f"reward_normalization: found grouping {grouping} and method {method}, but the customer of "
            f"{', '.join(failing)} is behind an API and can fail: the 0 of such an episode would count in the whole "
            "batch's mean; use grouping: traj_group_id, or method: identity with a critic"
        )


def check_clipping(config: RollValues) -> Iterator[str]:
    """Limits of ratios, values, rewards and advantages."""
    pair = ("pg_clip_low", "pg_clip_high")
    used = pair if config("use_pg_clip_range") else ("pg_clip",)
    if config("dual_clip_loss"):
        used = tuple(dict.fromkeys((*used, "pg_clip")))
    for name in used:
        if (found := config(name)) is None or found <= 0:
            yield f"{name}: found {found}, expected more than 0, such as 0.2"
    for name in pair:
        if not config("use_pg_clip_range") and config.given(name) and config(name) != config("pg_clip"):
            yield f"{name}: {config(name)} is used only with use_pg_clip_range: true; set it, or use pg_clip"
    for name in ("value_clip", "advantage_clip", "reward_clip"):
        if (found := config(name)) is not None and found <= 0:
            yield f"{name}: found {found}, expected more than 0, or null for none"


def check_updates(config: RollValues) -> Iterator[str]:
    """How the weights are changed, kept and handed on."""
    learning = [role for role in LEARNERS if role in config.roles]
    fsdp2 = [role for role in learning if (config.strategy(role) or "").startswith("fsdp2")]
    if fsdp2 and config("max_grad_norm") <= 0:
        yield (
            f"max_grad_norm: found {config('max_grad_norm')}, but FSDP2 scales every gradient down to it: "
            "nothing would be learnt; expected more than 0"
        )
    if config("entropy_loss_coef") < 0:
        yield f"entropy_loss_coef: found {config('entropy_loss_coef')}, expected 0 or more: below 0 ROLL leaves it out"
    if not config("actor_train.apply_loss_scale"):
        yield (
            "actor_train.apply_loss_scale: false divides the gradient by micro-batches x GPUs once more than the mean "
            "of the batch does; remove the key"
        )
    if (found := config("actor_train.model_update_frequency")) != 1:
        yield (
            f"actor_train.model_update_frequency: found {found}, expected 1: episodes would be played with old "
            "weights, and after a resume with random ones"
        )
    for role in fsdp2:
        if config.strategy_config(role).get("save_only_model"):
            yield (
                f"{role}.strategy_args.strategy_config.save_only_model: true leaves nothing to resume from (ROLL would "
                "go on with the first weights and say nothing); remove the key"
            )
    for name, default in VARIANT_KEYS.items():
        path = f"actor_train.{name}"
        if config.given(path) and config(path) != default:
            yield f"{path}: {config(path)} would change nothing, the actor learns with the PPO loss; remove the key"
    for role in learning:
        yield from _schedule(config, role)


def _schedule(config: RollValues, role: str) -> Iterator[str]:
    training = f"{role}.training_args"
    megatron = (config.strategy(role) or "").startswith("megatron")
    allowed = MEGATRON_SCHEDULES if megatron else SCHEDULES
    schedule, steps = config(f"{training}.lr_scheduler_type"), config(f"{training}.warmup_steps")
    ratio = config(f"{training}.warmup_ratio")
    if schedule not in allowed:
        yield f"{training}.lr_scheduler_type: found {schedule}, expected {', '.join(allowed)}"
    if schedule == "constant" and not megatron and (steps > 0 or ratio > 0):
        yield f"{training}.lr_scheduler_type: constant has no warm-up; use constant_with_warmup, or warmup_steps: 0"
    if steps > 0 and ratio > 0:
        yield f"{training}.warmup_ratio: found {ratio}, but warmup_steps {steps} holds; set one of them to 0"


def check_correction(config: RollValues) -> Iterator[str]:
    """Filters by how far the rollout engine's numbers lie from the trainer's."""
    filtering = any(one.get("enabled") for one in config("train_infer_correction.filters"))
    if filtering and config("loss_agg_mode") == "token-mean" and not config.recomputes_log_probs:
        yield (
            "train_infer_correction.filters: ROLL would filter nothing with loss_agg_mode token-mean while the "
            "log-probabilities are not computed again; set enable_old_logprobs_recompute: true"
        )
