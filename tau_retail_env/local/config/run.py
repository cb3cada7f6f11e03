"""What both kinds of training on the local engine have in common."""

from __future__ import annotations

from typing import Annotated, Literal

from tau_retail_env.blocks import Instead
from tau_retail_env.config.run import RunConfig


class LocalRun(RunConfig):
    """The keys of every run, with the values that the local engine takes."""

    engine: Annotated[
        Literal["auto", "local"],
        Instead("engine: roll trains a configuration for ROLL, such as --config-name tau_retail_1gpu."),
    ] = "auto"
    """What trains: local; auto picks it."""
    track_with: Annotated[
        Literal["tensorboard", "wandb", "trackio", "stdout"], Instead("JSONL and TensorBoard are always written.")
    ] = "tensorboard"
    """Where metrics go beside JSONL and TensorBoard."""
