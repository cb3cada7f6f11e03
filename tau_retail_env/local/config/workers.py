"""ROLL's blocks for the roles: who trains, who generates, who is compared with."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from tau_retail_env.blocks import Block, Instead


class ModelArgs(Block):
    """How a model is loaded."""

    dtype: Annotated[Literal["fp32", "bf16"], Instead("bf16 keeps fp32 weights and needs a GPU.")] = "bf16"
    """fp32, or bf16 for automatic mixed precision over fp32 weights (ROLL's default)."""
    attn_implementation: Annotated[Literal["sdpa", "auto"] | None, Instead("Leave it out for sdpa.")] = None
    """How attention is computed."""
    disable_gradient_checkpointing: bool = False
    """False trades time for memory."""


class TrainingArgs(Block):
    """How the weights are changed."""

    learning_rate: float = Field(5e-05, gt=0, lt=1)
    """Peak step size of AdamW."""
    lr_scheduler_type: Literal["linear", "cosine", "constant", "constant_with_warmup"] = "linear"
    """Course of the learning rate after the warm-up."""
    warmup_steps: int = Field(0, ge=0)
    """Updates during which the learning rate rises; over warmup_ratio when above 0."""
    warmup_ratio: float = Field(0.0, ge=0, le=1)
    """Share of all updates during which the learning rate rises."""
    weight_decay: float = Field(0.0, ge=0)
    """AdamW's decay of the weights."""
    adam_beta1: float = Field(0.9, ge=0, le=1)
    """AdamW's memory of the gradient."""
    adam_beta2: float = Field(0.999, ge=0, le=1)
    """AdamW's memory of the squared gradient."""
    per_device_train_batch_size: int = Field(8, ge=1)
    """Sequences in one forward and backward pass."""
    gradient_accumulation_steps: int = Field(1, ge=1)
    """Passes summed into one update of the weights."""
    dataloader_num_workers: int = Field(0, ge=0)
    """Processes that prepare batches; 0 prepares them in the main one."""
    num_train_epochs: float = Field(1.0, gt=0)
    """Passes over the conversations, where max_steps does not say otherwise (SFT)."""

    def problems(self, path: str) -> list[str]:
        """What is wrong with these keys together, each problem by its full path."""
        if self.lr_scheduler_type == "constant" and (self.warmup_steps or self.warmup_ratio):
            return [f"{path}.lr_scheduler_type: constant has no warm-up; use constant_with_warmup, or no warm-up"]
        return []

    @property
    def rows_of_update(self) -> int:
        """Sequences of one update of the weights."""
        return self.per_device_train_batch_size * self.gradient_accumulation_steps

    def num_warmup_steps(self, num_updates: int) -> int:
        """Updates during which the learning rate rises."""
        return self.warmup_steps if self.warmup_steps > 0 else math.ceil(num_updates * self.warmup_ratio)


class GeneratingArgs(Block):
    """How tokens are sampled."""

    max_new_tokens: int = Field(ge=1)
    """Tokens of one agent message at most."""
    temperature: float = Field(1.0, ge=0)
    """Divides the logits; 0 takes the most probable token."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Smallest set of tokens with this probability is kept; 1 keeps all."""
    top_k: int = Field(0, ge=0)
    """Most probable tokens that are kept; 0 keeps all."""
    repetition_penalty: Annotated[Literal[1], Instead("The local engine has no repetition penalty.")] = 1
    """ROLL's key; only 1 can be honoured."""


USE_ROLL = "Remove strategy_args, or train a configuration for ROLL, such as --config-name tau_retail_1gpu."


class InferStrategyArgs(Block):
    """Which backend generates or scores."""

    strategy_name: Annotated[Literal["hf_infer"], Instead("The model generates in this process. " + USE_ROLL)] = (
        "hf_infer"
    )
    """Always hf_infer: the model itself, in this process."""


class TrainStrategyArgs(Block):
    """Which backend trains: the local engine has one and needs no name."""

    strategy_name: Annotated[None, Instead(USE_ROLL)] = None
    """Always null: TRL trains, in this process."""


class ActorTrain(Block):
    """The role whose weights are trained."""

    model_args: ModelArgs = Field(default_factory=ModelArgs)
    """How the model is loaded."""
    training_args: TrainingArgs = Field(default_factory=TrainingArgs)
    """How the weights are changed."""
    strategy_args: TrainStrategyArgs | None = None
    """Which backend trains."""


class ActorInfer(Block):
    """The role that plays: the same weights as actor_train, at every step."""

    generating_args: GeneratingArgs | None = None
    """Overrides the generating_args of both env managers, as in ROLL."""
    strategy_args: InferStrategyArgs | None = None
    """Which backend generates."""


class Reference(Block):
    """The frozen weights that the KL divergence is measured against: those of pretrain."""

    strategy_args: InferStrategyArgs | None = None
    """Which backend scores."""
