"""What the local engine answers to keys of runs with ROLL that it does not read: what to use instead, or to remove."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping

from tau_retail_env.config.roll_schema import PINNED, RollSchema

OF_ENVIRONMENTS = (
    "agent_system_template agent_template env_manager_cls max_env_step_concurrent tool_wrapper use_thread_lock"
).split()
"""Keys of a block under custom_envs that ROLL's workers read; ROLL's schema leaves these blocks open."""
OF_FINE_TUNING = "global_template prompt_key query_key response_key system_key validation".split()
"""Keys of ROLL's own supervised fine-tuning, which is a pipeline of its own there."""
OF_RUNS_WITH_ROLL = "engines_per_gpu filter_groups infer_gpu_memory min_success warm_start".split()
"""Keys at the top that are ours and that runs with ROLL alone read."""
INSTEAD: Mapping[str, str] = {
    "it has no critic, the mean of a group is the baseline; remove it": (
        "critic critic_warmup gamma lambd reward_pretrain value_clip"
    ),
    "KL to the reference is kept in the loss, use use_kl_loss: true and kl_loss_coef": (
        "kl_horizon kl_penalty target_kl"
    ),
    "use reward_normalization.grouping and reward_normalization.method": "norm_mean_type norm_std_type",
    "use sequence_length, the tokens of a whole episode": (
        "prompt_length response_length val_prompt_length val_sequence_length"
    ),
    "remove it, CUDA_VISIBLE_DEVICES picks the one device": "device_mapping num_gpus_per_node",
    "set environment variables in the shell": "system_envs",
    "everything is written to output_dir, remove it": "checkpoint_config logging_dir rollout_dump_dir",
    "use max_steps at the top": "training_args.max_steps",
    "use output_dir at the top": "training_args.output_dir",
    "use seed at the top": "training_args.data_seed training_args.seed",
    "use model_args.dtype": "logits_in_fp32 training_args.bf16 training_args.fp16 training_args.tf32",
    "all roles start from the same weights, use pretrain at the top": "model_name_or_path",
    "use disable_gradient_checkpointing": "gradient_checkpointing_use_reentrant",
    "edit the config.json of the checkpoint": "model_config_kwargs",
    "every weight is trained, remove it": "lora_alpha lora_rank lora_target",
    "use max_new_tokens, and sequence_length for the whole episode": "generating_args.max_length",
    "use temperature: 0 for the most probable token": "generating_args.do_sample",
    "group_size says how often a task is played, remove it": "generating_args.num_return_sequences",
    "use the generating_args of train_env_manager": "actor_train.generating_args",
    "use the generating_args of val_env_manager": "sft_train.generating_args",
    "use those of actor_train": "actor_infer.model_args actor_infer.training_args reference.model_args",
    "remove strategy_args, or train a configuration for ROLL, such as --config-name tau_retail_1gpu": (
        "actor_train.strategy_args.strategy_config sft_train.strategy_args"
    ),
    "it follows from rollout_batch_size or val_batch_size, remove it": "max_traj_per_env",
    "only runs with ROLL do (--config-name tau_retail_1gpu); remove it": " ".join(OF_RUNS_WITH_ROLL),
    "choose the system text with prompt_style": "agent_system_template",
    "conversations come from the oracle, see the block conversations": (
        "global_template prompt_key query_key response_key system_key"
    ),
}
"""Where the remedy is not obvious: what to do, and the ends of the paths that it is for."""


def unread_by_local(block: str) -> Mapping[str, str]:
    """Keys that a block may have with ROLL and that the local engine does not read; those it reads are among them.

    Args:
        block: path of the block, empty at the top.

    Returns:
        What to answer, by name.
    """
    return {name: f"the local engine does not read it: {_instead(f'.{block}.{name}')}" for name in _known(block)}


def _known(block: str) -> Iterator[str]:
    first, _, rest = block.partition(".")
    if first == "custom_envs" and rest.count(".") == 0:
        yield from OF_ENVIRONMENTS
    if not block:
        yield from OF_FINE_TUNING
        yield from OF_RUNS_WITH_ROLL
    yield from _schema().names(block.replace("sft_train", "actor_train", 1))


def _instead(path: str) -> str:
    for remedy, ends in INSTEAD.items():
        if any(path.endswith(f".{end}") for end in ends.split()):
            return remedy
    return "remove it"


@functools.cache
def _schema() -> RollSchema:
    return RollSchema.load(PINNED)
