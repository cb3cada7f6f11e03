"""The learning rate of a warm-up's first update, on both engines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def start_above_zero(scheduler: Any, warmup_steps: int) -> None:
    """Have the first update of a warm-up change the weights: rates 1/n, 2/n … of the peak instead of 0, 1/n ….

    Args:
        scheduler: from transformers, at its start.
        warmup_steps: n, the updates of the warm-up; after these the rates stay as they are.
    """

    def shifted(rate: Callable[[int], float]) -> Callable[[int], float]:
        return lambda step: rate(step + 1 if step < warmup_steps else step)

    scheduler.lr_lambdas = [shifted(rate) for rate in scheduler.lr_lambdas]
    rates = [base * rate(0) for base, rate in zip(scheduler.base_lrs, scheduler.lr_lambdas, strict=True)]
    for group, rate in zip(scheduler.optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    scheduler._last_lr = rates
