"""Success over repeated trials, and how sure one can be of it: pure functions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev

from tau_retail_env.errors import InvalidValueError


@dataclass(frozen=True, slots=True)
class Interval:
    """A range that holds the true value with the stated confidence."""

    low: float
    """Lower end."""
    high: float
    """Upper end."""


def pass_hat_k(outcomes: Sequence[Sequence[bool]], k: int) -> float:
    """pass^k: the chance that all of k trials of a task succeed, averaged over tasks.

    For a task with c successes in n trials the unbiased estimate is C(c, k) / C(n, k): Yao et al., "τ-bench",
    section 3 (https://arxiv.org/abs/2406.12045).

    Args:
        outcomes: for each task, whether each trial succeeded.
        k: trials that must all succeed, 1 or more.

    Returns:
        A number between 0 and 1.

    Raises:
        InvalidValueError: no task, or a task with fewer than k trials, for which pass^k is undefined.
    """
    if k < 1 or not outcomes:
        raise InvalidValueError(f"pass^k needs a k of 1 or more and a task, found k={k} and {len(outcomes)} tasks")
    fewest = min(len(trials) for trials in outcomes)
    if fewest < k:
        raise InvalidValueError(f"pass^k with k={k} is undefined: a task has only {fewest} trials")
    return fmean(all_succeed(sum(map(bool, trials)), len(trials), k) for trials in outcomes)


def all_succeed(successes: int, trials: int, k: int) -> float:
    """A task's part of pass^k: the chance that k of its trials, drawn without putting back, all succeeded."""
    return math.comb(successes, k) / math.comb(trials, k)


def one_succeeds(successes: int, trials: int, k: int) -> float:
    """A task's part of pass@k: the chance that of k of its trials, drawn without putting back, one succeeded.

    Chen et al., "Evaluating Large Language Models Trained on Code", section 2.1 (https://arxiv.org/abs/2107.03374).
    """
    return 1 - math.comb(trials - successes, k) / math.comb(trials, k)


def wilson_interval(successes: int, trials: int, *, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of a success rate.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927), 209-212.

    Args:
        successes: trials that succeeded.
        trials: independent trials, 1 or more.
        confidence: how often such intervals hold the true rate.

    Raises:
        InvalidValueError: impossible counts or confidence.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise InvalidValueError(f"A rate needs 0 <= successes <= trials and a trial, found {successes} of {trials}")
    z = _normal_quantile(confidence)
    rate = successes / trials
    centre = (rate + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z * math.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials)) / (1 + z * z / trials)
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def paired_difference_interval(
    before: Sequence[bool], after: Sequence[bool], *, confidence: float = 0.95
) -> tuple[float, Interval]:
    """The change of a success rate measured twice on the same episodes, and its interval.

    The hybrid score interval for paired proportions: R. G. Newcombe, "Improved confidence intervals for the difference
    between binomial proportions based on paired data", Statistics in Medicine 17 (1998), 2635-2650, method 10. It
    stays sensible where nothing changed or every episode succeeded.

    Args:
        before: success of each episode before; the episodes are independent of one another.
        after: success of the same episodes after, in the same order.
        confidence: how often such intervals hold the true difference.

    Returns:
        The rate after minus the rate before, and its interval.

    Raises:
        InvalidValueError: no episodes, or not the same number twice.
    """
    n = len(before)
    if n == 0 or n != len(after):
        raise InvalidValueError(f"Pairs are needed, found {n} episodes before and {len(after)} after")
    both = sum(b and a for b, a in zip(before, after, strict=True))
    only_before, only_after = sum(before) - both, sum(after) - both
    neither = n - both - only_before - only_after
    first, second = sum(before) / n, sum(after) / n
    range_1 = wilson_interval(sum(before), n, confidence=confidence)
    range_2 = wilson_interval(sum(after), n, confidence=confidence)
    phi = _phi(both, only_before, only_after, neither)
    difference = second - first
    low = _hybrid(second - range_2.low, range_1.high - first, phi)
    high = _hybrid(range_2.high - second, first - range_1.low, phi)
    return difference, Interval(difference - low, difference + high)


def mean_difference_interval(
    before: Sequence[float], after: Sequence[float], *, confidence: float = 0.95
) -> tuple[float, Interval | None]:
    """The change of success measured twice on the same tasks, several trials each, and its interval.

    Trials of one task depend on one another, so the task is the unit: the standard error is that of the mean of the
    tasks' own differences, whatever the number of trials behind each. E. Miller, "Adding Error Bars to Evals",
    https://arxiv.org/abs/2411.00640. It is approximate where tasks are few, or few of them changed.

    Args:
        before: mean success of each task before, 0 to 1; the tasks are independent of one another.
        after: mean success of the same tasks after, in the same order.
        confidence: how often such intervals hold the true difference.

    Returns:
        The mean after minus the mean before, and its interval within -1 and 1; None where there is no spread to tell
        it from: a single task, or all changed by the same amount.

    Raises:
        InvalidValueError: no tasks, or not the same number twice.
    """
    n = len(before)
    if n == 0 or n != len(after):
        raise InvalidValueError(f"Pairs are needed, found {n} tasks before and {len(after)} after")
    differences = [second - first for first, second in zip(before, after, strict=True)]
    difference = fmean(differences)
    if math.isclose(min(differences), max(differences), abs_tol=1e-9):
        return difference, None
    half = _normal_quantile(confidence) * stdev(differences) / math.sqrt(n)
    return difference, Interval(max(-1.0, difference - half), min(1.0, difference + half))


def _normal_quantile(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise InvalidValueError(f"confidence must lie between 0 and 1, found {confidence}")
    return NormalDist().inv_cdf((1 + confidence) / 2)


def _phi(both: int, only_before: int, only_after: int, neither: int) -> float:
    """The pairs' correlation, corrected for continuity as method 10 asks."""
    n = both + only_before + only_after + neither
    margins = (both + only_before) * (only_after + neither) * (both + only_after) * (only_before + neither)
    if margins == 0:
        return 0.0
    product = both * neither - only_before * only_after
    corrected = max(product - n / 2, 0.0) if product > 0 else float(product)
    return corrected / math.sqrt(margins)


def _hybrid(first: float, second: float, phi: float) -> float:
    return math.sqrt(max(0.0, first * first - 2 * phi * first * second + second * second))
