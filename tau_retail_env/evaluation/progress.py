"""How an evaluation stands while it is played, in a few words."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from tau_retail_env.evaluation.facts import Facts
from tau_retail_env.evaluation.outcome import outcomes_of
from tau_retail_env.statistics.clusters import clustered_standard_error, rate_interval


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
