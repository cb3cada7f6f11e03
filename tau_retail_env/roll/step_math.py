"""What the run's own process computes between the GPUs' parts of a step: ROLL's numbers without its loops."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from roll.pipeline.agentic import agentic_pipeline
from roll.pipeline.agentic import utils as agentic_utils
from roll.utils import train_infer_corrections
from torch import Tensor


def episode_scores(batch: Any) -> Tensor:
    """The score of each episode, in the order in which they first appear.

    ROLL's `get_episode_scores` copies the batch's rows, all their tokens included, once into groups by episode.

    Args:
        batch: ROLL's, with `traj_id` and `episode_scores`.

    Returns:
        One number an episode, in fp32.
    """
    rows = batch.non_tensor_batch
    first: dict[str, float] = {}
    for name, score in zip(rows["traj_id"], rows["episode_scores"], strict=True):
        first.setdefault(str(name), score)
    return torch.tensor(list(first.values()), dtype=torch.float32)


def segment_means(tensor: Tensor, mask: Tensor) -> Tensor:
    """The mean of each run of marked tokens, at these tokens; 0 elsewhere.

    ROLL's `compute_segment_masked_mean` gathers each run by a dozen calls.

    Args:
        tensor: of shape (rows, tokens).
        mask: of the same shape, 0 or 1.

    Returns:
        Of the same shape.
    """
    rows, tokens = mask.shape
    marked = np.zeros((rows, tokens + 1), dtype=np.int8)  # a column more, so that no run goes on in the next row
    marked[:, :-1] = mask.numpy()
    edges = np.flatnonzero(np.diff(marked.ravel(), prepend=np.int8(0)))
    edges -= edges // (tokens + 1)
    flat = tensor.flatten()
    found = torch.zeros_like(flat)
    if len(edges):
        runs = [slice(*ends) for ends in edges.reshape(-1, 2).tolist()]
        lengths = torch.tensor([run.stop - run.start for run in runs])
        means = torch.stack([flat[run].sum() for run in runs]) / (lengths + 1e-8)
        written = found.numpy()
        for run, mean in zip(runs, means.tolist(), strict=True):
            written[run] = mean
    return found.view(rows, tokens)


def gae(token_level_rewards: Tensor, values: Tensor, gamma: float, lambd: float) -> tuple[Tensor, Tensor]:
    """Generalized advantage estimation (https://arxiv.org/abs/1506.02438), the last token first.

    ROLL's `compute_gae_advantage_return` makes five calls of PyTorch for each token of the longest possible row.

    Args:
        token_level_rewards: of shape (rows, tokens).
        values: of the same shape.
        gamma: the discount.
        lambd: GAE's lambda.

    Returns:
        Advantages and returns, of the same shape.
    """
    following = torch.cat([values[:, 1:], torch.zeros_like(values[:, :1])], dim=1)
    deltas = (token_level_rewards + gamma * following - values).T.contiguous().numpy()
    found = np.empty_like(deltas)
    last = np.zeros_like(deltas[0])
    for at in reversed(range(len(deltas))):
        np.multiply(last, gamma * lambd, out=found[at])
        found[at] += deltas[at]
        last = found[at]
    advantages = torch.from_numpy(found).T.contiguous()
    return advantages, advantages + values


IN_PLACE: tuple[tuple[Any, str, Callable[..., Any]], ...] = (
    (agentic_pipeline, "get_episode_scores", episode_scores),
    (agentic_utils, "compute_gae_advantage_return", gae),
    (train_infer_corrections, "compute_segment_masked_mean", segment_means),
)
"""Where ROLL's loop looks a function up, by which name, and ours."""


@contextmanager
def in_place_of_rolls() -> Iterator[None]:
    """Have ROLL's loop, which runs meanwhile in this process, compute by the functions of this module."""
    rolls = [(module, name, getattr(module, name)) for module, name, _ in IN_PLACE]
    for module, name, ours in IN_PLACE:
        setattr(module, name, ours)
    try:
        yield
    finally:
        for module, name, theirs in rolls:
            setattr(module, name, theirs)
