"""About how long a run will take, estimated before it begins: from one timed pass of its model."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from tau_retail_env.local.config import LocalConfig
from tau_retail_env.local.models import device

FILLED = 0.4
"""Share of `sequence_length` that an episode fills, in a recorded run of configs/tau_retail_local.yaml."""
PLAYING, LEARNING = 3.0, 4.5
"""Passes over an episode that playing it and learning from it cost, in such a run on two idle cores."""
LEAST_PLAYING_S, LEAST_LEARNING_S = 0.07, 0.012
"""Seconds that an episode takes at least, in the recorded runs docs/runs/local_gpu on an H200."""
ROWS, COLUMNS = 4, 128
"""Tokens of a pass."""
PASSES = 5
"""The quickest of so many counts: the first also warms up, and others may be interrupted."""


@dataclass(frozen=True, kw_only=True)
class Duration:
    """Seconds that the parts of a run will roughly take where nothing else keeps the machine busy."""

    step_s: float
    """Playing and learning of one step."""
    validation_s: float
    """One validation."""


def estimate(model: PreTrainedModel, config: LocalConfig) -> Duration:
    """About how long the parts of a run take.

    Args:
        model: on its device.
        config: the run.
    """
    episode_s = FILLED * config.sequence_length * _token_s(model)
    playing_s = max(PLAYING * episode_s, LEAST_PLAYING_S)
    learning_s = max(LEARNING * episode_s * config.ppo_epochs, LEAST_LEARNING_S)
    return Duration(
        step_s=config.rollout_batch_size * (playing_s + learning_s), validation_s=config.val_batch_size * playing_s
    )


def _token_s(model: PreTrainedModel) -> float:
    """Seconds of a forward pass for each token.

    On a CPU it is the processor's time of one thread, shared out among all: on a busy machine the threads of one pass
    wait for one another, and a pass was seen to take seventy times as long.
    """
    on_cpu, num_threads = device().type == "cpu", torch.get_num_threads()
    clock = time.thread_time if on_cpu else time.perf_counter
    token_ids = torch.zeros((ROWS, COLUMNS), dtype=torch.long, device=device())
    seconds = []
    if on_cpu:
        torch.set_num_threads(1)
    try:
        with torch.no_grad():
            for _ in range(PASSES):
                start = clock()
                model(input_ids=token_ids).logits[0, 0, 0].item()
                seconds.append(clock() - start)
    finally:
        if on_cpu:
            torch.set_num_threads(num_threads)
    return min(seconds) / token_ids.numel() / (num_threads if on_cpu else 1)
