"""Keys that ROLL leaves unread, overwrites or cannot honour in such a run, each with what to do instead: one table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tau_retail_env.config.roll_rules import LEARNERS, MANAGERS, ROLES, RollValues

ON_TRAINER = ("actor_train", "critic", "reference")
"""Roles on the backend that learns."""
PLAYERS = (*MANAGERS, "actor_infer")
"""Blocks whose generating_args say how messages are sampled."""
NOWHERE = "ROLL reads it nowhere: remove the key"
NO_DISTILLATION = "Nothing is distilled from a teacher here: remove the key"
PROMPTS_ONLY = "Only ROLL's pipelines without an environment read it: remove the key"
EPISODES = "sequence_length, the tokens of a whole episode, holds for training and validation: remove the key"
ONE_MODEL = "pretrain names the model of all three (ROLL overwrites it unless each of them says one): remove the key"
ONLY_MEGATRON = "Only roles on Megatron read it (train=megatron: actor and reference): remove the key"


def each(blocks: Sequence[str], keys: Mapping[str, str]) -> dict[str, str]:
    """The same keys below several blocks."""
    return {f"{block}.{name}": instead for block in blocks for name, instead in keys.items()}


UNREAD: Mapping[str, str] = {
    "norm_mean_type": "ROLL reads reward_normalization.norm_mean_type instead",
    "norm_std_type": "ROLL reads reward_normalization.norm_std_type instead",
    "reward_normalization.global_scale_factor": NOWHERE,
    "reward_normalization.global_shift_value": NOWHERE,
    **dict.fromkeys(
        ("use_reward_scaling", "use_reward_norm"),
        "ROLL reads it nowhere: reward_normalization says how rewards are compared",
    ),
    **dict.fromkeys(
        ("add_len_reward", "use_token_reward", "reward"), "The environment alone scores an episode: remove the key"
    ),
    **dict.fromkeys(
        ("step_reward_gamma", "episode_reward_weight", "step_reward_weight"),
        "Only adv_estimator gigpo and step_reinforce have rewards of single turns: remove the key",
    ),
    "l2": "ROLL reads it nowhere: use actor_train.training_args.weight_decay",
    "exp_mode": "ROLL would train all the same: remove the key",
    **dict.fromkeys(("dirty_data_mask", "open_feedback_turn", "report_length_and_rewards"), NOWHERE),
    "render_save_dir": "Nothing is drawn: remove the key; trajectories lie in the run's folder",
    **dict.fromkeys(
        ("is_offload_states", "is_offload_optimizer_states_in_train_step"),
        "ROLL's agents do not read it: for less memory set strategy_config.offload_policy: true (FSDP2)",
    ),
    **dict.fromkeys(("prompt_length", "response_length", "val_prompt_length", "val_sequence_length"), EPISODES),
    "max_running_requests": (
        "ROLL's default router limits nothing: use actor_infer.strategy_args.strategy_config.max_num_seqs (vLLM)"
    ),
    **dict.fromkeys(
        (
            "is_use_additional_prompts",
            "max_additional_running_prompts",
            "is_num_return_sequences_expand",
            "user_defined_rollout_loop_cls",
        ),
        PROMPTS_ONLY,
    ),
    **dict.fromkeys(
        ("teacher", "student_train", "student_infer", "use_opd", "is_pure_opd", "pure_opd_pipeline_type"),
        NO_DISTILLATION,
    ),
    "parse_tool_call_parameter_to_dict": "Tool calls are parsed by this package: remove the key",
    "skip_mock_system_prompt": "The model's own chat template renders the system text: remove the key",
    **each(
        MANAGERS,
        {
            "format_penalty": "The environment alone scores an episode: remove the key",
            "model_args.model_name_or_path": "ROLL overwrites it: pretrain names the model",
            "training_args": "An environment does not learn: remove the key",
        },
    ),
    **each(
        PLAYERS,
        {
            "generating_args.do_sample": "ROLL reads it nowhere: set temperature: 0 for the likeliest tokens",
            "generating_args.num_beams": "A message is sampled once, without beam search: remove the key",
            "generating_args.length_penalty": "It belongs to beam search, which is not done: remove the key",
            "generating_args.max_length": "max_new_tokens, the tokens of one message, holds: remove the key",
            "generating_args.num_return_sequences": "ROLL sets it to 1: group_size says how often a task is played",
        },
    ),
    **each(
        ("actor_train", "actor_infer", "reference"),
        {"model_args.model_name_or_path": ONE_MODEL},
    ),
    **each(ON_TRAINER, {"generating_args": "ROLL reads those of the env managers: remove the key"}),
    **each(ROLES, {"model_args.adapter_name_or_path": NOWHERE, "opd_kl_coef": NO_DISTILLATION}),
    **each(
        LEARNERS,
        {
            "training_args.max_steps": "ROLL overwrites it: set max_steps at the top",
            "training_args.seed": "ROLL overwrites it: set seed at the top",
        },
    ),
    **each(
        ("actor_infer", "critic", "reference"),
        {"model_update_frequency": "Only the actor's weights are handed on: remove the key"},
    ),
    "critic.model_args.freeze_module_prefix": "ROLL's value model freezes nothing: remove the key",
}
"""Path of a key, and what to do instead."""

BATCHING: Mapping[str, str] = dict.fromkeys(
    (
        "use_dynamic_batching_in_train",
        "use_dynamic_batching_in_infer",
        "max_tokens_per_microbatch_in_train",
        "max_tokens_per_microbatch_in_infer",
        "sequence_length_round_in_train",
        "sequence_length_round_in_infer",
        "use_sequence_packing",
        "sequence_packing_args",
        "logits_in_fp32",
        "mtp_training_mode",
    ),
    ONLY_MEGATRON,
)
TOKENS = ("max_tokens_per_microbatch_in_train", "max_tokens_per_microbatch_in_infer")
"""ROLL's own keys, which our learners on FSDP2 read, too."""
NO_TIMEOUT = {"backend_timeout": NOWHERE}
NO_NCCL_OFFLOAD = {"offload_nccl": "ROLL sets it to false (after v0.2.1): remove the key"}
NO_TRAINING = {"training_args": "This role does not learn: remove the key"}
GPUS_OF_A_WORKER = "ROLL sets it: the parallel sizes of strategy_config and device_mapping say it"
PARAM_DTYPE = "ROLL reads strategy_config.param_dtype instead: fp32 computes in fp32, without the key it is bf16"
COPY_CONFIG = "Change config.json in a copy of the model instead, and name its folder in pretrain"

UNREAD_WITH: Mapping[str, Mapping[str, str]] = {
    "fsdp2": {
        **each(
            ON_TRAINER,
            {
                **{name: instead for name, instead in BATCHING.items() if name not in TOKENS},
                **NO_TIMEOUT,
                **NO_NCCL_OFFLOAD,
                "router_replay": ONLY_MEGATRON,
                "num_gpus_per_worker": GPUS_OF_A_WORKER,
                "model_args.model_config_kwargs": COPY_CONFIG,
                "model_args.dtype": PARAM_DTYPE,
            },
        ),
        **each(
            LEARNERS,
            {
                "training_args.num_train_epochs": "Set max_steps, and ppo_epochs for those over one batch",
                "training_args.data_seed": "ROLL reads it nowhere: set seed at the top",
                "training_args.dataloader_num_workers": NOWHERE,
                "training_args.save_hf_model": "The model is always saved as transformers loads it: remove the key",
                **dict.fromkeys(("training_args.bf16", "training_args.fp16", "training_args.tf32"), PARAM_DTYPE),
            },
        ),
        **each(("reference",), {**NO_TRAINING, "max_tokens_per_microbatch_in_train": NO_TRAINING["training_args"]}),
    },
    "megatron": each(ON_TRAINER, {**NO_TIMEOUT, **NO_NCCL_OFFLOAD, "num_gpus_per_worker": GPUS_OF_A_WORKER}),
    "vllm": each(
        ("actor_infer",),
        {
            **BATCHING,
            **NO_TIMEOUT,
            **NO_NCCL_OFFLOAD,
            **NO_TRAINING,
            "router_replay": ONLY_MEGATRON,
            "num_gpus_per_worker": GPUS_OF_A_WORKER,
            "model_args.model_config_kwargs": COPY_CONFIG,
        },
    ),
    "sglang": each(
        ("actor_infer",),
        {
            **BATCHING,
            **NO_TIMEOUT,
            **NO_NCCL_OFFLOAD,
            **NO_TRAINING,
            "model_args.model_config_kwargs": COPY_CONFIG,
        },
    ),
}
"""The same for keys that mean nothing under one kind of strategy."""

VLLM_OVERWRITTEN: Mapping[str, tuple[Any, str]] = {
    "model": (None, "pretrain names the model"),
    "dtype": (None, "set actor_infer.model_args.dtype"),
    "seed": (None, "set seed at the top"),
    "trust_remote_code": (True, "remove the key"),
    "enable_sleep_mode": (True, "remove the key"),
}
"""vLLM's arguments that ROLL sets itself: the one value that may be said, and what to do instead."""


def check_unread(config: RollValues) -> Iterator[str]:
    """Refuse keys that are given, say something else than ROLL's default, and would change nothing."""
    for path, instead in UNREAD.items():
        if _says_something(config, path):
            yield f"{_found(config, path)} cannot be honoured. {instead}"
    for role in config.roles:
        strategy = config.strategy(role) or ""
        for kind, paths in UNREAD_WITH.items():
            for path, instead in paths.items():
                if strategy.startswith(kind) and path.startswith(f"{role}.") and _says_something(config, path):
                    yield f"{_found(config, path)} cannot be honoured with {strategy}. {instead}"
    if config.strategy("actor_infer") == "vllm":
        for name, value in config.strategy_config("actor_infer").items():
            said, instead = VLLM_OVERWRITTEN.get(name, (value, ""))
            if value != said:
                path = f"actor_infer.strategy_args.strategy_config.{name}"
                yield f"{path}: {value} cannot be honoured, ROLL overwrites it: {instead}"


def _says_something(config: RollValues, path: str) -> bool:
    """Whether a key is given for a role that is started, with another value than ROLL's default."""
    block = path.split(".")[0]
    if not config.given(path) or (block in ROLES and block not in config.roles):
        return False
    return _differs(config(path), config.schema.default(path))


def _differs(value: Any, default: Any) -> bool:
    if isinstance(value, Mapping) and isinstance(default, Mapping):
        return any(_differs(inner, default.get(name)) for name, inner in value.items())
    return bool(value != default)


def _found(config: RollValues, path: str) -> str:
    value = config(path)
    return f"{path}:" if isinstance(value, Mapping) else f"{path}: {value}"
