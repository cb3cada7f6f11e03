"""How many trials show a difference: power of a paired comparison on a fixed number of tasks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from tau_retail_env.errors import InvalidValueError

CONFIDENCE = 0.95
POWER = 0.8
"""How often a difference of that size is to be shown."""
INTRACLASS_CORRELATION = 0.5
"""How alike trials of one task are where nothing was measured: .46 to .53 in sierra-research/tau-bench #57."""
MOST_TRIALS = 1000
"""More trials a task than anybody plays."""


@dataclass(frozen=True, slots=True)
class Spread:
    """What makes two agents' success on a task vary."""

    within: float
    """Variance of one trial around the task's own success rate, one agent's."""
    between: float
    """Variance over tasks of the true difference between the two agents; 0 for these very tasks and no others."""


def assumed_spread(success: float, *, between: float = 0.0) -> Spread:
    """What to expect before anything was played.

    Args:
        success: the success rate that is expected, 0 to 1.
        between: variance over tasks of the agents' true difference.

    Raises:
        InvalidValueError: a success rate that cannot be.
    """
    if not 0 < success < 1:
        raise InvalidValueError(f"success must lie between 0 and 1, found {success}")
    return Spread((1 - INTRACLASS_CORRELATION) * success * (1 - success), between)


def standard_error(tasks: int, trials: int, spread: Spread) -> float:
    """Standard error of the paired difference of two agents (Miller 2024, arXiv:2411.00640, section 5).

    Args:
        tasks: that both play.
        trials: that each agent plays of each task.
        spread: what makes success vary.
    """
    return math.sqrt((spread.between + 2 * spread.within / trials) / tasks)


def detectable(tasks: int, trials: int, spread: Spread, *, power: float = POWER) -> float:
    """The smallest difference that a comparison shows in `power` of all cases, 0 to 1."""
    return times_standard_error(power) * standard_error(tasks, trials, spread)


def trials_needed(tasks: int, difference: float, spread: Spread, *, power: float = POWER) -> int | None:
    """How many trials a task show a difference.

    Args:
        tasks: that both agents play.
        difference: between the agents' success rates, above 0, at most 1.
        spread: what makes success vary.
        power: how often the difference is to be shown.

    Returns:
        Trials of each agent a task; None where no number of trials suffices (up to 1000): then it takes more tasks.

    Raises:
        InvalidValueError: no tasks, or a difference that cannot be.
    """
    if tasks < 1 or not 0 < difference <= 1:
        raise InvalidValueError(f"tasks must be 1 or more and the difference in (0, 1], found {tasks} and {difference}")
    room = tasks * (difference / times_standard_error(power)) ** 2 - spread.between
    if room <= 0:
        return None
    trials = max(1, math.ceil(2 * spread.within / room - 1e-9))
    return trials if trials <= MOST_TRIALS else None


def times_standard_error(power: float = POWER) -> float:
    """How many standard errors a difference must be so that 95 % intervals leave out 0 in `power` of all cases."""
    if not 0 < power < 1:
        raise InvalidValueError(f"power must lie between 0 and 1, found {power}")
    return NormalDist().inv_cdf((1 + CONFIDENCE) / 2) + NormalDist().inv_cdf(power)
