"""Intervals for tasks that were played several times: trials of one task depend on one another, tasks do not."""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Sequence
from statistics import NormalDist, fmean

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.statistics.intervals import Interval

RESAMPLES = 2000
"""How often tasks are drawn anew; the ends of a 95 % interval are then off by some 5 % of its width."""


def bootstrap_interval(
    values: Sequence[float], *, confidence: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> Interval | None:
    """The percentile bootstrap interval of a mean over tasks: tasks are drawn anew with all their trials.

    B. Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7 (1979), 1-26.

    Args:
        values: one number a task, such as its part of pass^k; the tasks are independent of one another.
        confidence: how often such intervals hold the true mean, where tasks are many.
        resamples: how often tasks are drawn anew.
        seed: decides the draws, so that the same values give the same interval, whatever their order.

    Returns:
        The interval; None where the tasks do not differ, which leaves nothing to resample.

    Raises:
        InvalidValueError: no values, or an impossible confidence.
    """
    _check(len(values), confidence)
    if _are_equal(values):
        return None
    return _percentiles(tuple(sorted(values)), confidence, resamples, seed)


@functools.lru_cache(maxsize=64)
def _percentiles(ordered: tuple[float, ...], confidence: float, resamples: int, seed: int) -> Interval:
    """Kept, for an evaluation's pass^1, pass@1 and official reward are the same, and often pass^2 and others."""
    draw, count = random.Random(seed), len(ordered)
    means = sorted(sum(draw.choices(ordered, k=count)) / count for _ in range(resamples))
    cut = round((1 - confidence) / 2 * (resamples - 1))
    return Interval(means[cut], means[-1 - cut])


def clustered_standard_error(scores: Sequence[Sequence[float]]) -> float:
    """The standard error of the mean of all scores, clustered by task.

    E. Miller, "Adding Error Bars to Evals", https://arxiv.org/abs/2411.00640, section 2.2: the variance of the mean of
    independent scores, and the covariance of those of the same task on top.

    Args:
        scores: for each task, one score a trial.

    Raises:
        InvalidValueError: fewer than two scores.
    """
    every = [score for trials in scores for score in trials]
    n = len(every)
    if n < 2:
        raise InvalidValueError(f"A standard error needs two scores, found {n}")
    mean = fmean(every)
    squares = math.fsum((score - mean) ** 2 for score in every)
    within = math.fsum(math.fsum(score - mean for score in trials) ** 2 for trials in scores)
    return math.sqrt(max(squares / (n - 1) / n + (within - squares) / n**2, 0.0))


def clustered_interval(scores: Sequence[Sequence[float]], *, confidence: float = 0.95) -> Interval | None:
    """The mean of all scores, plus and minus the normal quantile times its clustered standard error.

    Args:
        scores: for each task, one score a trial.
        confidence: how often such intervals hold the true mean, where tasks are many.

    Returns:
        The interval, which may reach beyond the range of the scores; None where the scores do not differ.

    Raises:
        InvalidValueError: no scores, or an impossible confidence.
    """
    every = [score for trials in scores for score in trials]
    _check(len(every), confidence)
    if _are_equal(every):
        return None
    half = NormalDist().inv_cdf((1 + confidence) / 2) * clustered_standard_error(scores)
    mean = fmean(every)
    return Interval(mean - half, mean + half)


def rate_interval(rate: float, standard_error: float, tasks: int, *, confidence: float = 0.95) -> Interval:
    """The interval of a success rate over tasks, as if one more had always succeeded and another one always failed.

    It is the normal interval over the tasks and these two, which keep it wide enough near 0 and 1, where few tasks
    differ and the bootstrap's and the normal one are too narrow (docs/evaluation.md, "Intervals").
    A. Agresti and B. Coull, "Approximate is better than 'exact' for interval estimation of binomial proportions",
    The American Statistician 52 (1998), 119-126, add successes and failures to independent trials so.

    Args:
        rate: the mean over tasks of a number from 0 to 1.
        standard_error: of that mean, clustered by task; 0 where the tasks do not differ.
        tasks: how many.
        confidence: how often such intervals hold the true rate.

    Returns:
        An interval within 0 and 1, also where all tasks succeed or all fail.

    Raises:
        InvalidValueError: no tasks, or an impossible confidence.
    """
    _check(tasks, confidence)
    every = tasks + 2
    center = (rate * tasks + 1) / every
    squares = standard_error**2 * tasks * (tasks - 1) + tasks * (rate - center) ** 2 + (1 - center) ** 2 + center**2
    half = NormalDist().inv_cdf((1 + confidence) / 2) * math.sqrt(squares / (every - 1) / every)
    return Interval(max(center - half, 0.0), min(center + half, 1.0))


def _check(count: int, confidence: float) -> None:
    if not count:
        raise InvalidValueError("An interval needs at least one value, found none")
    if not 0 < confidence < 1:
        raise InvalidValueError(f"confidence must lie between 0 and 1, found {confidence}")


def _are_equal(values: Sequence[float]) -> bool:
    return math.isclose(min(values), max(values), abs_tol=1e-12)
