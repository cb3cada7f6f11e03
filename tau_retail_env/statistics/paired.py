"""Two agents on the same tasks: the difference with its intervals, and McNemar's test where each played once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.statistics.clusters import bootstrap_interval, clustered_interval
from tau_retail_env.statistics.intervals import Interval

SIGNIFICANT = 0.05
"""Below this McNemar's p-value shows a difference; the intervals beside it hold the true value in 95 of 100 cases."""


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """How much better the second agent is than the first on the tasks that both played."""

    value: float
    """Mean over tasks of the second's success less the first's."""
    bootstrap: Interval | None
    """Percentile interval over resampled tasks; None where all tasks differ by the same amount."""
    analytic: Interval | None
    """Normal interval over the tasks' differences (Miller 2024, https://arxiv.org/abs/2411.00640, section 4)."""
    p_value: float | None
    """McNemar's exact one where each task was played once by both; else None."""
    tasks: int
    """Tasks that both played."""

    @property
    def standard_error(self) -> float:
        """Of the value, over the tasks' differences; 0 where all are equal."""
        if self.analytic is None:
            return 0.0
        return (self.analytic.high - self.analytic.low) / 2 / NormalDist().inv_cdf(0.975)

    @property
    def is_shown(self) -> bool:
        """Whether every method that applies here says that the agents differ.

        Where all tasks differ by the same amount there is no interval: then the sign test over tasks says it.
        """
        if self.bootstrap is None or self.analytic is None:
            return not math.isclose(self.value, 0.0, abs_tol=1e-9) and mcnemar_exact(0, self.tasks) < SIGNIFICANT
        excluded = all(not interval.low <= 0 <= interval.high for interval in (self.bootstrap, self.analytic))
        return excluded and (self.p_value is None or self.p_value < SIGNIFICANT)


def mcnemar_exact(first_only: int, second_only: int) -> float:
    """The two-sided exact p-value of McNemar's test: are the pairs that disagree split evenly?

    Q. McNemar, Psychometrika 12 (1947), 153-157, with the binomial distribution in place of the normal: the sign test.

    Args:
        first_only: tasks that only the first agent solved.
        second_only: tasks that only the second agent solved.

    Raises:
        InvalidValueError: a negative count.
    """
    if min(first_only, second_only) < 0:
        raise InvalidValueError(f"Counts cannot be negative, found {first_only} and {second_only}")
    n = first_only + second_only
    tail = sum(math.comb(n, successes) for successes in range(min(first_only, second_only) + 1))
    return min(1.0, 2 * tail / 2**n)


def paired_difference(first: Mapping[str, Sequence[bool]], second: Mapping[str, Sequence[bool]]) -> PairedDifference:
    """Compare two agents on the tasks of which both have a scored trial.

    Args:
        first: by task, whether each scored trial of the first agent succeeded.
        second: the same of the second agent.

    Raises:
        InvalidValueError: they have no such task in common.
    """
    pairs = [(first[task], second[task]) for task in first if first[task] and second.get(task)]
    if not pairs:
        raise InvalidValueError("A comparison needs a task that both agents played, found none")
    differences = [fmean(map(bool, after)) - fmean(map(bool, before)) for before, after in pairs]
    once = all(len(trials) == 1 for pair in pairs for trials in pair)
    p_value = mcnemar_exact(differences.count(-1.0), differences.count(1.0)) if once else None
    return PairedDifference(
        fmean(differences),
        bootstrap_interval(differences),
        clustered_interval([[difference] for difference in differences]),
        p_value,
        len(pairs),
    )
