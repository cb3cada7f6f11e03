"""How often the 95 % intervals of an evaluation hold the true rate, by simulation.

python benchmarks/interval_coverage.py        40 and 114 tasks, four trials, success from the floor to the ceiling
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from statistics import fmean

from tau_retail_env.statistics.clusters import bootstrap_interval, clustered_interval
from tau_retail_env.statistics.intervals import Interval, pass_hat_k, wilson_interval

TASKS = (40, 114)
RATES = (0.02, 0.05, 0.2, 0.5, 0.95)
ALIKE = 1.0
"""The sum of the beta distribution's parameters from which tasks' own rates are drawn: most tasks are easy or hard.
Trials of one task then correlate by 1 / (1 + ALIKE) = 0.5, as measured on τ-bench."""
RESAMPLES = 400


def main() -> None:
    """Print the coverage of each interval, of pass^1 and of the difference of two equal agents."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evaluations", type=int, default=1000, help="simulated ones a row")
    parser.add_argument("--trials", type=int, default=4)
    options = parser.parse_args()
    print(f"{options.evaluations} evaluations a row, {options.trials} trials a task, {RESAMPLES} resamples")
    print("| tasks | true pass^1 | bootstrap holds it | Miller holds it | equals told apart | error of pass^k |")
    print("|---|---|---|---|---|---|")
    for tasks in TASKS:
        for rate in RATES:
            print(as_row(tasks, rate, options.trials, options.evaluations), flush=True)


def as_row(tasks: int, rate: float, trials: int, evaluations: int) -> str:
    """One row of the table.

    Args:
        tasks: of each evaluation, with rates of their own.
        rate: the mean of all tasks' rates.
        trials: of each task.
        evaluations: how many are simulated.
    """
    draw = random.Random(f"{tasks}/{rate}/{trials}")
    held: list[list[bool]] = []
    errors: list[float] = []
    for _ in range(evaluations):
        rates = [draw.betavariate(rate * ALIKE, (1 - rate) * ALIKE) for _ in range(tasks)]
        first, second = (played(draw, rates, trials) for _ in range(2))
        values = [fmean(one) for one in first]
        differences = [fmean(after) - value for after, value in zip(second, values, strict=True)]
        alike = wilson_interval(round(sum(values)), tasks)  # what the screen shows where all tasks end alike
        held.append(
            [
                holds(bootstrap_interval(values, resamples=RESAMPLES) or alike, rate),
                holds(clustered_interval(first) or alike, rate),
                not any(
                    interval is None or holds(interval, 0.0)
                    for interval in (
                        bootstrap_interval(differences, resamples=RESAMPLES),
                        clustered_interval([[one] for one in differences]),
                    )
                ),
            ]
        )
        errors.append(pass_hat_k(first, trials) - true_pass_hat_k(rate, trials))
    cells = " | ".join(f"{100 * fmean(column):.1f}" for column in zip(*held, strict=True))
    return f"| {tasks} | {100 * rate:g} | {cells} | {100 * fmean(errors):+.2f} |"


def played(draw: random.Random, rates: Sequence[float], trials: int) -> list[list[bool]]:
    """Whether each trial of each task succeeds."""
    return [[draw.random() < rate for _ in range(trials)] for rate in rates]


def true_pass_hat_k(rate: float, k: int) -> float:
    """The mean of a task's rate to the power of k, over the beta distribution."""
    product = 1.0
    for place in range(k):
        product *= (rate * ALIKE + place) / (ALIKE + place)
    return product


def holds(interval: Interval, value: float) -> bool:
    """Whether an interval holds a value."""
    return interval.low <= value <= interval.high


if __name__ == "__main__":
    main()
