"""A critic's head, fitted in closed form while only the critic learns, and kept at the returns' mean afterwards."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from roll.platforms import current_platform
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor

from tau_retail_env.roll.learning import Rows

STRENGTH = 20.0
"""Of the ridge, in episodes: those of no information that stand against the seen ones. On the small model's episodes
1 to 100 make no difference that could be distinguished from chance."""


class ValueHead:
    """Ridge regression of the returns on what the trunk says, over all episodes of a warm-up.

    Gradient steps at a rate that suits the trunk move all values together for many steps, first to the mean return and
    then past it, before they tell one token from another. The trunk stands still meanwhile, so episodes of earlier
    steps count as much as new ones. First the head, then all weights: Kumar et al. 2022, arXiv:2202.10054.

    Args:
        rows: of a critic.
    """

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._score = rows.strategy.model.score
        self._moments: Tensor | None = None
        self._first: tuple[Tensor, Tensor] | None = None

    @torch.no_grad()
    def fit(self, batch: Any) -> dict[str, float]:
        """Add a batch to the episodes seen, and solve for the head.

        Each episode counts as much as any other, whatever its length, as in ROLL's loss.

        Args:
            batch: rows of this GPU, with returns.

        Returns:
            `critic/head_r2`: the share of the returns' variance, over the episodes fitted to, that the fit takes off.
        """
        seen = self._seen(batch)
        self._moments = seen if self._moments is None else self._moments + seen
        if not self._moments[-2, -2]:  # no episode with a token of the actor's
            return {}
        weight, bias, share = ridge(self._moments, STRENGTH)
        first_weight, first_bias = self._begun_with()
        _put(self._score.weight, first_weight + weight)
        _put(self._score.bias, first_bias + bias)
        return {"critic/head_r2": share}

    @torch.no_grad()
    def shift(self, by: float) -> None:
        """Add the same to every value."""
        self._score.bias.add_(by)

    def _seen(self, batch: Any) -> Tensor:
        """Weighted products of hidden states, one, and what the first head left of the returns, on all GPUs."""
        weight, bias = self._begun_with()
        moments = torch.zeros(len(weight[0]) + 2, len(weight[0]) + 2, dtype=torch.float64, device=weight.device)
        for rows, row, before, hidden in self._rows.head_inputs(batch):
            counts = rows.batch["response_mask"][:, 1:].sum(dim=1)
            states = hidden.double()
            left = rows.batch["returns"][row, before].double() - (states @ weight[0] + bias)
            columns = torch.cat([states, torch.ones_like(left)[:, None], left[:, None]], dim=1)
            moments += (columns / counts[row][:, None]).T @ columns
        if dist.is_initialized():
            dist.all_reduce(moments)
        return moments

    def _begun_with(self) -> tuple[Tensor, Tensor]:
        """Weight and bias before the first fit: zeros, unless they came with the weights or a checkpoint."""
        if self._first is None:
            self._first = _whole(self._score.weight), _whole(self._score.bias)
        return self._first


def ridge(moments: Tensor, strength: float) -> tuple[Tensor, Tensor, float]:
    """Solve a weighted ridge regression with an intercept.

    Args:
        moments: sums of weighted products of the columns (inputs, one, target), of shape (inputs + 2, inputs + 2).
        strength: of the ridge, as the weight of so many observations with the inputs' mean variance.

    Returns:
        Weights, intercept, and R squared over the observations.
    """
    total, mean = moments[-2, -2], moments[:-2, -2] / moments[-2, -2]
    target = moments[-1, -2] / total
    spread = moments[:-2, :-2] - total * mean[:, None] * mean
    cross = moments[:-2, -1] - total * mean * target
    against = strength * spread.diagonal().mean().clamp(min=1e-12) / total
    weight = torch.linalg.solve(spread + against * torch.eye(len(mean), dtype=mean.dtype, device=mean.device), cross)
    variance = moments[-1, -1] - total * target**2
    taken = 2 * weight @ cross - weight @ spread @ weight
    return weight, target - mean @ weight, float(taken / variance) if variance > 1e-9 * total else 0.0


def mean_error(values: Tensor, returns: Tensor, mask: Tensor) -> float:
    """How much the returns lie above the values in the mean over episodes, on all GPUs; 0 where there is no token.

    Args:
        values: what the critic said, of shape (episodes, tokens).
        returns: what came, of the same shape.
        mask: which tokens count.
    """
    counts = mask.sum(dim=1)
    above = ((returns - values) * mask).sum(dim=1) / counts.clamp(min=1)
    sums = torch.stack([above.double().sum(), (counts > 0).double().sum()])
    if dist.is_initialized():
        sums = sums.to(current_platform.device_type)
        dist.all_reduce(sums)
    total, number = sums.tolist()
    return float(total / number) if number else 0.0


def _whole(weight: Tensor) -> Tensor:
    return (weight.full_tensor() if isinstance(weight, DTensor) else weight).detach().double().clone()


def _put(weight: Tensor, whole: Tensor) -> None:
    whole = whole.to(weight.dtype).reshape(weight.shape)
    if isinstance(weight, DTensor):
        whole = distribute_tensor(whole, weight.device_mesh, weight.placements)
    weight.copy_(whole)
