"""Success of played episodes, before and after, as numbers with intervals and in words: both engines end with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.metrics import paired_difference_interval, wilson_interval

METHOD = "95 % interval of the paired difference (Newcombe 1998, method 10)"


def success_of(trajectories: Sequence[Trajectory]) -> dict[str, Any]:
    """How many episodes succeeded.

    Args:
        trajectories: the episodes of one validation.

    Returns:
        `success` (0 to 1), its 95 % `interval` (low, high), `episodes` (scored), `asked`, `unscorable`; the first two
        only where an episode could be scored.
    """
    scored = [trajectory.reward == 1.0 for trajectory in trajectories if trajectory.scorable]
    if not scored:
        return {"episodes": 0, "asked": len(trajectories), "unscorable": len(trajectories)}
    interval = wilson_interval(sum(scored), len(scored))
    return {
        "success": sum(scored) / len(scored),
        "interval": [interval.low, interval.high],
        "episodes": len(scored),
        "asked": len(trajectories),
        "unscorable": len(trajectories) - len(scored),
    }


def compare(before: Sequence[Trajectory], after: Sequence[Trajectory]) -> dict[str, Any]:
    """Compare two validations of the same episodes.

    Args:
        before: the first, in the order of the second.
        after: the second.

    Returns:
        `before` as `success_of` tells it, and `difference`: `success`, `interval`, `episodes`, `asked`, `method`; the
        latter only where a pair could be scored.
    """
    pairs = [
        (first.reward == 1.0, last.reward == 1.0)
        for first, last in zip(before, after, strict=True)
        if first.scorable and last.scorable
    ]
    if not pairs:
        return {"before": success_of(before)}
    difference, interval = paired_difference_interval([first for first, _ in pairs], [last for _, last in pairs])
    return {
        "before": success_of(before),
        "difference": {
            "success": difference,
            "interval": [interval.low, interval.high],
            "episodes": len(pairs),
            "asked": len(before),
            "method": METHOD,
        },
    }


def in_words(summary: Mapping[str, Any]) -> list[str]:
    """Lines for the screen.

    Args:
        summary: `after` as `success_of` tells it, and what `compare` tells where there is something to compare with.
    """
    after = summary["after"]
    if "success" not in after:
        return [f"success: no episode of {after['unscorable']} could be scored"]
    if "difference" not in summary:
        low, high = after["interval"]
        return [f"success {after['success']:.1%} of {_scored(after)} held-out episodes (95 %: {low:.1%} to {high:.1%})"]
    before, difference = summary["before"], summary["difference"]
    low, high = difference["interval"]
    return [
        f"success before {before['success']:.1%}, after {after['success']:.1%} "
        f"on the same {_scored(difference)} held-out episodes (same tasks, same seeds)",
        f"difference {difference['success']:+.1%}, {METHOD}: {low:+.1%} to {high:+.1%}",
    ]


def _scored(numbers: Mapping[str, Any]) -> str:
    """How many episodes were scored, and of how many, if some could not be."""
    scored, asked = numbers["episodes"], numbers["asked"]
    return f"{scored}" if scored == asked else f"{scored} of {asked}"
