"""How often the 95 % intervals of an evaluation hold the true rate, by simulation.

python benchmarks/interval_coverage.py                              40 and 114 tasks, from the floor to the ceiling
python benchmarks/interval_coverage.py --trials 1 --alike 0.25      other trials, less alike
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from statistics import fmean

from tau_retail_env.statistics.clusters import (
    bootstrap_interval,
    clustered_interval,
    clustered_standard_error,
    rate_interval,
)
from tau_retail_env.statistics.intervals import Interval, pass_hat_k, wilson_interval

TASKS = (40, 114)
RATES = (0.02, 0.05, 0.1, 0.2, 0.5, 0.95)
RESAMPLES = 400


def main() -> None:
    """Print the coverage of each interval, of pass^1 and of the difference of two equal agents."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evaluations", type=int, default=1000, help="simulated ones a row")
    parser.add_argument("--trials", type=int, default=4)
    parser.add_argument("--alike", type=float, default=0.5, help="correlation of a task's trials (0.5: as on τ-bench)")
    options = parser.parse_args()
    print(f"{options.evaluations} evaluations a row, {options.trials} trials a task, alike to {options.alike:g}")
    print("| tasks | true pass^1 | shown, width | bootstrap, width | Miller, width | told apart | error of pass^k |")
    print("|---|---|---|---|---|---|---|")
    for tasks in TASKS:
        for rate in RATES:
            print(as_row(tasks, rate, options.trials, options.alike, options.evaluations), flush=True)


def as_row(tasks: int, rate: float, trials: int, alike: float, evaluations: int) -> str:
    """One row of the table.

    Args:
        tasks: of each evaluation, with rates of their own.
        rate: the mean of all tasks' rates.
        trials: of each task.
        alike: the correlation of trials of one task, above 0: their rates come from a beta distribution.
        evaluations: how many are simulated.
    """
    weight = 1 / alike - 1  # the sum of the beta distribution's parameters; below 2 most tasks are easy or hard
    draw = random.Random(f"{tasks}/{rate}/{trials}")
    held: list[list[bool]] = []
    widths: list[list[float]] = []
    apart: list[bool] = []
    errors: list[float] = []
    for _ in range(evaluations):
        rates = [draw.betavariate(rate * weight, (1 - rate) * weight) for _ in range(tasks)]
        first, second = (played(draw, rates, trials) for _ in range(2))
        values = [fmean(one) for one in first]
        differences = [fmean(after) - value for after, value in zip(second, values, strict=True)]
        shown = rate_interval(fmean(values), clustered_standard_error([[one] for one in values]), tasks)
        even = wilson_interval(round(sum(values)), tasks)  # the others say nothing where all tasks end alike
        intervals = shown, bootstrap_interval(values, resamples=RESAMPLES) or even, clustered_interval(first) or even
        held.append([holds(interval, rate) for interval in intervals])
        widths.append([interval.high - interval.low for interval in intervals])
        of_difference = (
            bootstrap_interval(differences, resamples=RESAMPLES),
            clustered_interval([[one] for one in differences]),
        )
        apart.append(all(interval is not None and not holds(interval, 0.0) for interval in of_difference))
        errors.append(pass_hat_k(first, trials) - true_pass_hat_k(rate, trials, weight))
    columns = zip(zip(*held, strict=True), zip(*widths, strict=True), strict=True)
    cells = [f"{100 * fmean(hits):.1f}, {100 * fmean(wide):.1f}" for hits, wide in columns]
    cells += [f"{100 * fmean(apart):.1f}", f"{100 * fmean(errors):+.2f}"]
    return f"| {tasks} | {100 * rate:g} | {' | '.join(cells)} |"


def played(draw: random.Random, rates: Sequence[float], trials: int) -> list[list[bool]]:
    """Whether each trial of each task succeeds."""
    return [[draw.random() < rate for _ in range(trials)] for rate in rates]


def true_pass_hat_k(rate: float, k: int, weight: float) -> float:
    """The mean of a task's rate to the power of k, over the beta distribution."""
    product = 1.0
    for place in range(k):
        product *= (rate * weight + place) / (weight + place)
    return product


def holds(interval: Interval, value: float) -> bool:
    """Whether an interval holds a value."""
    return interval.low <= value <= interval.high


if __name__ == "__main__":
    main()
