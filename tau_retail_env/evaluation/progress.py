"""How an evaluation stands while it is played, in a few words."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from tau_retail_env.evaluation.facts import Facts
from tau_retail_env.evaluation.outcome import outcomes_of
from tau_retail_env.statistics.clusters import clustered_interval


def words_of(episodes: Sequence[Facts]) -> str:
    """The running pass^1 over the tasks begun, its interval (Miller 2024), and what was paid.

    Args:
        episodes: those played so far.
    """
    outcomes = outcomes_of(episodes)
    if not outcomes:
        return "no episode scored yet"
    rates = [fmean(trials) for trials in outcomes.values()]
    interval = clustered_interval([[rate] for rate in rates])
    words = f"pass^1 {100 * fmean(rates):.1f}"
    if interval is not None:
        words += f" [{100 * max(interval.low, 0.0):.1f}, {100 * min(interval.high, 1.0):.1f}]"
    costs = [
        one.numbers[name] for one in episodes for name in ("agent_cost_usd", "customer_cost_usd") if name in one.numbers
    ]
    return words + (f" ${sum(costs):.2f}" if costs else "")
