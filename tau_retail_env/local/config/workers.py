"""ROLL's blocks for the roles: who trains, who generates, who is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from tau_retail_env.config.schema import Refusing, key

NO_CLUSTER = "The local engine runs on one device in one process (CUDA_VISIBLE_DEVICES picks it): remove the key."
NO_LORA = "The local engine trains every weight: remove the key."


@dataclass(frozen=True, kw_only=True)
class ModelArgs(Refusing):
    """How a model is loaded."""

    refused: ClassVar[Mapping[str, str]] = {
        "model_name_or_path": "All roles start from the same weights: use pretrain at the top.",
        "device_map": NO_CLUSTER,
        "ulysses_size": NO_CLUSTER,
        "model_type": "There is no critic or reward model: remove the key.",
        "num_labels": "There is no critic or reward model: remove the key.",
        "model_config_kwargs": "Edit the checkpoint's config.json instead.",
        "freeze_module_prefix": NO_LORA,
        "moe_aux_loss_coef": "Mixture-of-experts models are not supported: remove the key.",
        "gradient_checkpointing_use_reentrant": "Use disable_gradient_checkpointing.",
        **dict.fromkeys(
            ("adapter_name_or_path", "additional_target", "autocast_adapter_dtype", "lora_alpha", "lora_dropout"),
            NO_LORA,
        ),
        **dict.fromkeys(("lora_rank", "lora_target"), NO_LORA),
    }

    dtype: str = key("bf16", only=("fp32", "bf16"), instead="bf16 keeps fp32 weights and needs a GPU.")
    """fp32, or bf16 for automatic mixed precision over fp32 weights (ROLL's default)."""
    attn_implementation: str | None = key(None, only=(None, "sdpa", "auto"), instead="Leave it out for sdpa.")
    """How attention is computed."""
    disable_gradient_checkpointing: bool = key(False)
    """False trades time for memory."""


@dataclass(frozen=True, kw_only=True)
class TrainingArgs(Refusing):
    """How the weights are changed."""

    refused: ClassVar[Mapping[str, str]] = {
        "max_steps": "Use max_steps at the top.",
        "output_dir": "Use output_dir at the top.",
        "seed": "Use seed at the top.",
        "data_seed": "Use seed at the top.",
        "fp16": "Use model_args.dtype: bf16 or fp32.",
        "bf16": "Use model_args.dtype: bf16.",
        "tf32": "Use model_args.dtype: bf16 for speed on a GPU.",
        "save_hf_model": "Checkpoints are always in Hugging Face format: remove the key.",
    }

    learning_rate: float = key(5e-5, above=0)
    """Peak step size of AdamW."""
    lr_scheduler_type: str = key("linear", only=("linear", "cosine", "constant", "constant_with_warmup"))
    """Course of the learning rate after the warm-up."""
    warmup_steps: int = key(0, minimum=0)
    """Updates during which the learning rate rises; over warmup_ratio when above 0."""
    warmup_ratio: float = key(0.0, minimum=0, maximum=1)
    """Share of all updates during which the learning rate rises."""
    weight_decay: float = key(0.0, minimum=0)
    """AdamW's decay of the weights."""
    adam_beta1: float = key(0.9, minimum=0, maximum=1)
    """AdamW's memory of the gradient."""
    adam_beta2: float = key(0.999, minimum=0, maximum=1)
    """AdamW's memory of the squared gradient."""
    per_device_train_batch_size: int = key(8, minimum=1)
    """Sequences in one forward and backward pass."""
    gradient_accumulation_steps: int = key(1, minimum=1)
    """Passes summed into one update of the weights."""
    dataloader_num_workers: int = key(0, minimum=0)
    """Processes that prepare batches; 0 prepares them in the main one."""
    num_train_epochs: float = key(1.0, above=0)
    """Passes over the conversations, where max_steps does not say otherwise (SFT)."""

    def problems(self, path: str) -> list[str]:
        """What is wrong with these keys together, each problem by its full path."""
        if self.lr_scheduler_type == "constant" and (self.warmup_steps or self.warmup_ratio):
            return [f"{path}.lr_scheduler_type: constant has no warm-up; use constant_with_warmup, or no warm-up"]
        return []

    def num_warmup_steps(self, num_updates: int) -> int:
        """Updates during which the learning rate rises."""
        return self.warmup_steps if self.warmup_steps > 0 else -int(-num_updates * self.warmup_ratio // 1)


@dataclass(frozen=True, kw_only=True)
class GeneratingArgs(Refusing):
    """How tokens are sampled."""

    refused: ClassVar[Mapping[str, str]] = {
        "num_beams": "The local engine samples: remove the key.",
        "length_penalty": "The local engine samples: remove the key.",
        "num_return_sequences": "The number of episodes of a task is group_size: remove the key.",
        "stop_strings": "A message ends with the model's own end of turn: remove the key.",
        "include_stop_str_in_output": "A message ends with the model's own end of turn: remove the key.",
        "max_length": "Use max_new_tokens, and sequence_length for the whole episode.",
        "logprobs": "Log-probabilities are always recorded: remove the key.",
        "do_sample": "Use temperature: 0 for the most probable token.",
    }

    max_new_tokens: int = key(minimum=1)
    """Tokens of one agent message at most."""
    temperature: float = key(1.0, minimum=0)
    """Divides the logits; 0 takes the most probable token."""
    top_p: float = key(1.0, above=0, maximum=1)
    """Smallest set of tokens with this probability is kept; 1 keeps all."""
    top_k: int = key(0, minimum=0)
    """Most probable tokens that are kept; 0 keeps all."""
    repetition_penalty: float = key(1.0, only=(1.0,), instead="The local engine has no repetition penalty.")
    """ROLL's key; only 1 can be honoured."""


WORKER_KEYS: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "backend_timeout",
            "device_mapping",
            "infer_batch_size",
            "max_concurrency",
            "max_tokens_per_microbatch_in_infer",
            "max_tokens_per_microbatch_in_train",
            "model_update_frequency",
            "num_gpus_per_worker",
            "offload_nccl",
            "sequence_length_round_in_infer",
            "sequence_length_round_in_train",
            "use_dynamic_batching_in_infer",
            "use_dynamic_batching_in_train",
            "use_sequence_packing",
            "sequence_packing_args",
            "worker_cls",
            "world_size",
            "name",
        ),
        NO_CLUSTER,
    ),
    "data_args": "The model's own chat template is used: remove the key.",
    "system_envs": "Set environment variables in the shell.",
    "pg_variant": "The local engine has the clipped PPO objective only: remove the key.",
    "apply_loss_scale": "The loss is the mean over the batch: remove the key.",
    "logits_in_fp32": "Use model_args.dtype: fp32.",
    "router_replay": "Mixture-of-experts models are not supported: remove the key.",
    "mtp_training_mode": "Multi-token prediction is not supported: remove the key.",
    "topr_positive_weight": "The local engine has the clipped PPO objective only: remove the key.",
    "topr_negative_weight": "The local engine has the clipped PPO objective only: remove the key.",
    "opd_kl_coef": "Distillation is not supported: remove the key.",
    "tag_included": "Distillation is not supported: remove the key.",
}
"""ROLL's keys of every role that mean nothing to the local engine."""

USE_ROLL = "Remove strategy_args, or train a configuration for ROLL, such as --config-name tau_retail_1gpu."


@dataclass(frozen=True, kw_only=True)
class InferStrategyArgs(Refusing):
    """Which backend generates or scores."""

    refused: ClassVar[Mapping[str, str]] = {"strategy_config": "hf_infer has no settings: remove the key."}

    strategy_name: str = key("hf_infer", only=("hf_infer",), instead="The model generates in this process. " + USE_ROLL)
    """Always hf_infer: the model itself, in this process."""


@dataclass(frozen=True, kw_only=True)
class TrainStrategyArgs(Refusing):
    """Which backend trains: the local engine has one and needs no name."""

    refused: ClassVar[Mapping[str, str]] = {"strategy_config": USE_ROLL}

    strategy_name: str | None = key(None, only=(None,), instead=USE_ROLL)
    """Always null: TRL trains, in this process."""


@dataclass(frozen=True, kw_only=True)
class ActorTrain(Refusing):
    """The role whose weights are trained."""

    refused: ClassVar[Mapping[str, str]] = {
        **WORKER_KEYS,
        "generating_args": "Use train_env_manager.generating_args.",
    }

    model_args: ModelArgs = key(ModelArgs)
    """How the model is loaded."""
    training_args: TrainingArgs = key(TrainingArgs)
    """How the weights are changed."""
    strategy_args: TrainStrategyArgs | None = key(None)
    """Which backend trains."""


@dataclass(frozen=True, kw_only=True)
class ActorInfer(Refusing):
    """The role that plays: the same weights as actor_train, at every step."""

    refused: ClassVar[Mapping[str, str]] = {
        **WORKER_KEYS,
        "model_args": "The actor that plays is the one that trains: use actor_train.model_args.",
        "training_args": "Use actor_train.training_args.",
    }

    generating_args: GeneratingArgs | None = key(None)
    """Overrides the generating_args of both env managers, as in ROLL."""
    strategy_args: InferStrategyArgs | None = key(None)
    """Which backend generates."""


@dataclass(frozen=True, kw_only=True)
class Reference(Refusing):
    """The frozen weights that the KL divergence is measured against: those of pretrain."""

    refused: ClassVar[Mapping[str, str]] = {
        **WORKER_KEYS,
        "model_args": "The reference is loaded like the actor: use actor_train.model_args.",
        "training_args": "The reference is not trained: remove the key.",
        "generating_args": "The reference does not play: remove the key.",
    }

    strategy_args: InferStrategyArgs | None = key(None)
    """Which backend scores."""
