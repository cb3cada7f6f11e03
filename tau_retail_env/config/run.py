"""The keys that every run has: our own at the top, and ROLL's about the run itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, SkipValidation, Strict

from tau_retail_env.blocks import Block, Filled
from tau_retail_env.sources.prompts import PromptStyle
from tau_retail_env.users.spec import Strategy
from tau_retail_env.world.settings import RewardSettings


def _folder_name(value: str) -> str:
    if not value.strip() or "/" in value or "\0" in value or value in (".", ".."):
        raise ValueError(f"found {value!r}, expected the name of a folder, without /; output_dir says where it is")
    return value


def _folder(value: str) -> str:
    if not value.strip():
        raise ValueError("is empty, expected the folder of the run, e.g. outputs/mine")
    return value


class PlayedConfig(Block):
    """Keys of everything that plays tasks with a model, whether it trains or not."""

    user_strategy: Annotated[Strategy, SkipValidation] = "scripted"  # UserSpec checks it, weights and all
    """Who plays the customer: a name, or weights by name, of which each group of episodes draws one."""
    user_model: str | None = None
    """Name of the model behind an API customer."""
    user: Mapping[str, Any] = Field(default_factory=dict)
    """Everything else about the customer, as its strategy reads it."""
    task_source: str = "generated"
    """Where the tasks come from: generated, tau2 or tau_bench."""
    task_version: str | float | None = None
    """Which edition of the source's tasks, such as 1.0 of tau2; null for the source's default. YAML reads a number."""
    task_subset: str = "all"
    """Tasks whose gold actions contain a kind, such as returns; all; a+b."""
    reward: RewardSettings = RewardSettings()
    """Which reward is trained on; validation always reports upstream's, the corrected one and the process rate."""
    max_turns: int | None = Field(None, ge=1)
    """Agent messages per episode; null keeps the source's own limits."""
    prompt_style: Annotated[PromptStyle, Strict(False)] = PromptStyle.FULL
    """How the domain policy and the tools are shown: full, compressed or minimal."""
    exp_name: Annotated[str, AfterValidator(_folder_name)]
    """Name of the experiment."""
    seed: int = Field(42, ge=0)
    """Decides the order of tasks, the customers' wording and every sampled token."""
    output_dir: Annotated[str, AfterValidator(_folder)]
    """The run's own folder."""
    pretrain: Filled
    """small (the checkpoint of this package), a folder, or a Hugging Face name."""


MOST_STEPS = 10_000_000
"""Steps of a run; more are a slip of the finger."""


class RunConfig(PlayedConfig):
    """Keys of every run, on either engine."""

    engine: str = "auto"
    """What trains; each engine's own block says which names it takes."""
    resume: bool | Filled = False
    """True resumes the newest run of this configuration; a run's folder resumes that one."""
    resume_from_checkpoint: bool | Filled = False
    """ROLL's name for resume."""
    track_with: str = "tensorboard"
    """Where metrics go beside JSONL; each engine's own block says which trackers it has."""
    tracker_kwargs: Mapping[str, Any] = Field(default_factory=dict)
    """Arguments of the start call of wandb or trackio, such as project."""
    save_steps: int = Field(50, ge=1)
    """Steps between checkpoints; the last step always has one."""
    max_ckpt_to_keep: int = Field(2, ge=0)
    """Newest checkpoints that stay; 0 keeps all."""
    eval_steps: int = Field(10, ge=1)
    """Steps between evaluations; there is always one before and one after training."""
    stop_after_worse: int | None = Field(None, ge=1)
    """Ends the run after so many evaluations in a row that were not above the best so far; null never does."""

    def resumed(self) -> Self:
        """The same with `resume` said under either of its two names."""
        return self.model_copy(update={"resume": self.resume or self.resume_from_checkpoint})
