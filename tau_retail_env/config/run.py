"""The keys that every run has: our own at the top, and ROLL's about the run itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from tau_retail_env.config.schema import Refusing, key

NO_CLUSTER = "The local engine runs on one device in one process: remove the key."
ALWAYS_WRITTEN = "Everything is written to output_dir: remove the key."

RUN_REFUSALS: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "batch_adjust_mode",
            "env_monitor",
            "generate_opt_level",
            "is_num_return_sequences_expand",
            "is_offload_optimizer_states_in_train_step",
            "is_offload_states",
            "is_use_additional_prompts",
            "local_rank",
            "max_additional_running_prompts",
            "max_running_requests",
            "model_update_buffer_size_mb",
            "num_gpus_per_node",
            "num_nodes",
            "partial_gpu_mode",
            "router_args",
            "rpc_timeout",
            "transfer_backend",
            "user_defined_rollout_loop_cls",
        ),
        NO_CLUSTER,
    ),
    **dict.fromkeys(
        (
            "base_dir",
            "checkpoint_config",
            "length_profiler_dir",
            "logging_dir",
            "otlp_output_dir",
            "profiler_memory",
            "profiler_output_dir",
            "profiler_timeline",
            "render_save_dir",
            "report_length_and_rewards",
            "rollout_dump_dir",
            "rollout_mock",
        ),
        ALWAYS_WRITTEN,
    ),
    **dict.fromkeys(
        ("prompt_length", "response_length", "val_prompt_length", "val_sequence_length"),
        "Use sequence_length, the tokens of a whole episode.",
    ),
    **dict.fromkeys(("dirty_data_mask", "open_feedback_turn", "use_token_reward"), "ROLL does not use it either."),
    "system_envs": "Set environment variables in the shell.",
    "model_download_type": "pretrain is a folder or a Hugging Face name: remove the key.",
    "exp_mode": "Remove the key.",
    "logging_steps": "Every step is logged: remove the key.",
    "parse_tool_call_parameter_to_dict": "Tool calls are parsed by this package: remove the key.",
    "skip_mock_system_prompt": "The model's own chat template is used: remove the key.",
}
"""ROLL's keys about the run that mean nothing to the local engine."""


@dataclass(frozen=True, kw_only=True)
class RunConfig(Refusing):
    """What every run is told, whatever it trains with."""

    refused: ClassVar[Mapping[str, str]] = RUN_REFUSALS

    user_strategy: str | Mapping[str, float] = key("scripted")
    """Who plays the customer: a name, or weights by name, of which each group of episodes draws one."""
    user_model: str | None = key(None)
    """Name of the model behind an API customer."""
    user: Mapping[str, Any] = key(dict)
    """Everything else about the customer, as its strategy reads it."""
    task_source: str = key("generated")
    """Where the tasks come from: generated, tau2 or tau_bench."""
    task_version: str | float | None = key(None)
    """Which edition of the source's tasks, such as 1.0 of tau2; null for the source's default. YAML reads a number."""
    task_subset: str = key("all")
    """Tasks whose gold actions contain a kind, such as returns; all; a+b."""
    max_turns: int | None = key(None, minimum=1)
    """Agent messages per episode; null keeps the source's own limits."""
    prompt_style: str = key("full")
    """How the domain policy and the tools are shown: full, compressed or minimal."""
    engine: str = key(
        "auto",
        only=("auto", "local"),
        instead="engine: roll trains a configuration for ROLL, such as --config-name tau_retail_1gpu.",
    )
    """What trains: local; auto picks it."""
    resume: bool | str = key(False)
    """True goes on from the newest run of this configuration; a run folder goes on from that one."""
    resume_from_checkpoint: bool | str = key(False)
    """ROLL's name for resume."""
    exp_name: str = key(filled=True)
    """Name of the experiment."""
    seed: int = key(42, minimum=0)
    """Decides the order of tasks, the customers' wording and every sampled token."""
    output_dir: str = key()
    """The run's own folder."""
    track_with: str = key(
        "tensorboard",
        only=("tensorboard", "wandb", "trackio", "stdout"),
        instead="JSONL and TensorBoard are always written.",
    )
    """Where metrics go beside JSONL and TensorBoard."""
    tracker_kwargs: Mapping[str, Any] = key(dict)
    """Arguments of the start call of wandb or trackio, such as project."""
    pretrain: str = key()
    """small (the checkpoint of this package), a folder, or a Hugging Face name."""
    save_steps: int = key(50, minimum=1)
    """Steps between checkpoints; the last step always has one."""
    max_ckpt_to_keep: int = key(2, minimum=0)
    """Newest checkpoints that stay; 0 keeps all."""
    eval_steps: int = key(10, minimum=1)
    """Steps between evaluations; there is always one before and one after training."""
