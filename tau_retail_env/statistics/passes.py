"""pass^k and pass@k for every k over the same tasks, each with its intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.statistics.clusters import (
    bootstrap_interval,
    clustered_interval,
    clustered_standard_error,
    rate_interval,
)
from tau_retail_env.statistics.intervals import Interval, all_succeed, one_succeeds


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over tasks, of numbers from 0 to 1, and how sure one can be of it."""

    value: float
    """The mean over the tasks."""
    interval: Interval
    """The one to be shown, see `rate_interval`."""
    bootstrap: Interval | None
    """Its percentile interval over resampled tasks; None where the tasks do not differ."""
    analytic: Interval | None
    """Its clustered normal interval (Miller 2024); None where the tasks do not differ."""
    tasks: int
    """How many tasks it is the mean of."""


@dataclass(frozen=True, slots=True)
class PassCurve:
    """Success over repeated trials: the same tasks behind every number."""

    all_of_k: Mapping[int, Estimate]
    """pass^k by k: the chance that all of k trials succeed."""
    one_of_k: Mapping[int, Estimate]
    """pass@k by k: the chance that at least one of k trials succeeds."""
    undefined: Mapping[int, str]
    """By k, why neither is defined."""


def pass_curve(outcomes: Mapping[str, Sequence[bool]], asked: int) -> PassCurve:
    """pass^k and pass@k for k from 1 to the number of trials that were asked for.

    A k is defined only where every task has so many scored trials. So all k are over the same tasks, and pass^k never
    rises with k.

    Args:
        outcomes: by task, whether each scored trial succeeded; each task has at least one.
        asked: trials a task that were asked for, the largest k.

    Raises:
        InvalidValueError: no task, a task without a scored trial, or fewer than one trial asked for.
    """
    if asked < 1 or not outcomes or not all(outcomes.values()):
        raise InvalidValueError(
            f"pass^k needs tasks with a scored trial each and a k from 1 on, found {len(outcomes)} tasks and k={asked}"
        )
    counts = [(sum(map(bool, trials)), len(trials)) for trials in outcomes.values()]
    fewest = min(trials for _, trials in counts)
    short = next(task for task, trials in outcomes.items() if len(trials) == fewest)
    defined = range(1, min(fewest, asked) + 1)
    return PassCurve(
        {k: _estimate(counts, k, all_succeed) for k in defined},
        {k: _estimate(counts, k, one_succeeds) for k in defined},
        {k: f"undefined: {short} has only {_trials(fewest)}" for k in range(fewest + 1, asked + 1)},
    )


def mean_of_tasks(values: Sequence[float]) -> Estimate:
    """The mean of one number a task, with its intervals.

    Args:
        values: from 0 to 1, one a task, at least one.

    Raises:
        InvalidValueError: no values.
    """
    scores, tasks = [[value] for value in values], len(values)
    mean, analytic = sum(values) / tasks, clustered_interval(scores)
    shown = rate_interval(mean, clustered_standard_error(scores) if analytic else 0.0, tasks)
    return Estimate(mean, shown, bootstrap_interval(values), analytic, tasks)


def _estimate(counts: Sequence[tuple[int, int]], k: int, part: Callable[[int, int, int], float]) -> Estimate:
    return mean_of_tasks([part(successes, trials, k) for successes, trials in counts])


def _trials(count: int) -> str:
    return f"{count} scored trial" + ("" if count == 1 else "s")
