"""About how long a run will take, estimated before it begins: from one timed pass of its model."""

from __future__ import annotations

import time

import torch
from transformers import PreTrainedModel

from tau_retail_env.local.config import LocalConfig
from tau_retail_env.local.models import device

FILLED = 0.4
"""Share of `sequence_length` that an episode fills, in the recorded run docs/runs/laptop."""
PLAYING, LEARNING = 3.0, 4.5
"""Passes over an episode that playing it and learning from it cost, in the same run on a CPU."""
LEAST_PLAYING_S, LEAST_LEARNING_S = 0.07, 0.012
"""Seconds that an episode takes at least, in the recorded runs docs/runs/local_gpu on an H200."""
ROWS, COLUMNS = 4, 128
"""Tokens of the pass."""


def estimate_s(model: PreTrainedModel, config: LocalConfig, *, steps: int) -> float:
    """Seconds that a run will roughly take where nothing else keeps the machine busy.

    Args:
        model: on its device.
        config: the run.
        steps: how many there will be, with a validation before and one each `eval_steps`.
    """
    episode_s = FILLED * config.sequence_length * _token_s(model)
    playing_s = max(PLAYING * episode_s, LEAST_PLAYING_S)
    learning_s = max(LEARNING * episode_s * config.ppo_epochs, LEAST_LEARNING_S)
    played = steps * config.rollout_batch_size
    return played * (playing_s + learning_s) + (1 + -(-steps // config.eval_steps)) * config.val_batch_size * playing_s


def _token_s(model: PreTrainedModel) -> float:
    """Seconds of a forward pass for each token."""
    token_ids = torch.zeros((ROWS, COLUMNS), dtype=torch.long, device=device())
    seconds = []
    with torch.no_grad():
        for _ in range(2):  # the first also warms up
            start = time.perf_counter()
            model(input_ids=token_ids).logits[0, 0, 0].item()
            seconds.append(time.perf_counter() - start)
    return min(seconds) / token_ids.numel()
