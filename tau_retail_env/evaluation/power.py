"""How many trials show a difference on a number of tasks, as a table in words."""

from __future__ import annotations

from tau_retail_env.statistics.power import (
    CONFIDENCE,
    INTRACLASS_CORRELATION,
    POWER,
    Spread,
    assumed_spread,
    detectable,
)
from tau_retail_env.statistics.power import trials_needed as needed

POINTS = (3, 5, 10)
SUCCESS = 0.5
"""Where success varies most: another rate needs fewer trials."""
TRIALS = (1, 2, 4, 8, 16)


def as_text(tasks: int, measured: Spread | None = None) -> str:
    """What to plan for.

    Args:
        tasks: that both agents play.
        measured: what makes success vary, from evaluations; None assumes the worst case.
    """
    spread = measured or assumed_spread(SUCCESS)
    basis = (
        f"measured: variance {spread.within:.3f} of a trial, {spread.between:.3f} of the tasks' differences"
        if measured
        else f"assumed: success {SUCCESS:.0%}, trials of a task alike to {INTRACLASS_CORRELATION}"
    )
    lines = [
        f"{tasks} tasks, two agents on the same tasks; a difference is shown in {POWER:.0%} of comparisons "
        f"({CONFIDENCE:.0%} intervals); {basis}",
    ]
    for points in POINTS:
        trials = needed(tasks, points / 100, spread)
        answer = f"{trials} trials a task" if trials else "no number of trials: it takes more tasks"
        lines.append(f"  a difference of {points:>2} points: {answer}")
    shown = ", ".join(f"{trials}: {100 * detectable(tasks, trials, spread):.1f}" for trials in TRIALS)
    lines.append(f"  the smallest difference in points by trials: {shown}")
    return "\n".join(lines)
