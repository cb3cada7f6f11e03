"""How an evaluation stands while it is played, in a few words."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import fmean

from tau_retail_env.evaluation.facts import Facts
from tau_retail_env.evaluation.outcome import outcomes_of
from tau_retail_env.evaluation.runner import Progress, Standing
from tau_retail_env.runs.bar import Bar
from tau_retail_env.statistics.clusters import clustered_standard_error, rate_interval

TELLING_S = 1.0
"""Seconds between two looks at the running figures."""


@contextmanager
def shown(standing: Standing, label: str = "") -> Iterator[Progress]:
    """A bar, outside a terminal a line now and then, with the running figures.

    Args:
        standing: what is known before the playing.
        label: what it begins with.
    """
    told_at = 0.0
    with Bar(desc=label, total=standing.asked, initial=len(standing.episodes), unit="episode") as bar:

        def show(episodes: Sequence[Facts], asked: int) -> None:
            nonlocal told_at
            if time.monotonic() - told_at > TELLING_S or len(episodes) == asked:
                told_at = time.monotonic()
                bar.set_postfix_str(words_of(episodes), refresh=False)
            bar.update(len(episodes) - bar.n)

        yield show


def words_of(episodes: Sequence[Facts]) -> str:
    """The running pass^1 over the tasks begun, its interval, and what was paid.

    Args:
        episodes: those played so far.
    """
    outcomes = outcomes_of(episodes)
    if not outcomes:
        return "no episode scored yet"
    rates = [fmean(trials) for trials in outcomes.values()]
    standard_error = clustered_standard_error([[rate] for rate in rates]) if len(rates) > 1 else 0.0
    interval = rate_interval(fmean(rates), standard_error, len(rates))
    words = f"pass^1 {100 * fmean(rates):.1f} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"
    costs = [
        one.numbers[name] for one in episodes for name in ("agent_cost_usd", "customer_cost_usd") if name in one.numbers
    ]
    return words + (f" ${sum(costs):.2f}" if costs else "")
