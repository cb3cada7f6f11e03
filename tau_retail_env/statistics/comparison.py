"""Success of played episodes, before and after, as numbers with intervals and in words: both engines end with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.statistics.intervals import mean_difference_interval, paired_difference_interval, wilson_interval

METHOD = "95 % interval of the paired difference (Newcombe 1998, method 10)"
TASKS_METHOD = "95 % interval of the paired difference over tasks (Miller 2024, arXiv:2411.00640)"
Trials = dict[tuple[str, str], list[bool]]
"""By tag and task, whether each trial that could be scored succeeded."""


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
    """Compare two validations of the same tasks: episode by episode, or task by task where one was played again.

    Args:
        before: the first, in the order of the second.
        after: the second.

    Returns:
        `before` as `success_of` returns it, and `difference`, where a pair could be scored: `success`, `interval`,
        `asked`, `method`, and `episodes`, the pairs. Of tasks that were played several times, `success` is the mean
        over tasks of the difference of a task's mean success, with `tasks` instead of `episodes`, `trials` (scored ones
        of a task: the fewest, the most), and no `interval` where all tasks changed by the same amount.
    """
    first, last = _trials(before), _trials(after)
    once = len(first) == len(before) and len(last) == len(after)
    difference = _of_episodes(before, after) if once else _of_tasks(first, last)
    return {"before": success_of(before)} | ({"difference": difference} if difference else {})


def in_words(summary: Mapping[str, Any]) -> list[str]:
    """Lines for the screen.

    Args:
        summary: `after` as `success_of` returns it, and what `compare` returns, where it could compare.
    """
    after = summary["after"]
    if "success" not in after:
        return [f"success: no episode of {after['unscorable']} could be scored"]
    if "difference" not in summary:
        low, high = after["interval"]
        return [f"success {after['success']:.1%} of {_scored(after)} held-out episodes (95 %: {low:.1%} to {high:.1%})"]
    before, difference = summary["before"], summary["difference"]
    return [
        f"success before {before['success']:.1%}, after {after['success']:.1%} on the same {_what(difference)}",
        f"difference {100 * difference['success']:+.1f} points, {_interval(difference)}",
    ]


def _of_episodes(before: Sequence[Trajectory], after: Sequence[Trajectory]) -> dict[str, Any]:
    pairs = [
        (first.reward == 1.0, last.reward == 1.0)
        for first, last in zip(before, after, strict=True)
        if first.scorable and last.scorable
    ]
    if not pairs:
        return {}
    difference, interval = paired_difference_interval([first for first, _ in pairs], [last for _, last in pairs])
    return {
        "success": difference,
        "interval": [interval.low, interval.high],
        "episodes": len(pairs),
        "asked": len(before),
        "method": METHOD,
    }


def _of_tasks(before: Trials, after: Trials) -> dict[str, Any]:
    pairs = [(before[task], after[task]) for task in sorted(before.keys() & after.keys())]
    pairs = [(first, last) for first, last in pairs if first and last]
    if not pairs:
        return {}
    difference, interval = mean_difference_interval(
        [fmean(first) for first, _ in pairs], [fmean(last) for _, last in pairs]
    )
    counts = [len(trials) for pair in pairs for trials in pair]
    return {
        "success": difference,
        **({"interval": [interval.low, interval.high]} if interval else {}),
        "tasks": len(pairs),
        "asked": len(before.keys() | after.keys()),
        "trials": [min(counts), max(counts)],
        "method": TASKS_METHOD,
    }


def _trials(trajectories: Sequence[Trajectory]) -> Trials:
    """By tag and task, whether each trial that could be scored succeeded."""
    found: Trials = {}
    for trajectory in trajectories:
        trials = found.setdefault((trajectory.tag, trajectory.task_id), [])
        if trajectory.scorable:
            trials.append(trajectory.reward == 1.0)
    return found


def _what(difference: Mapping[str, Any]) -> str:
    """What was compared: episodes, or tasks of several trials."""
    if "tasks" not in difference:
        return f"{_scored(difference)} held-out episodes (same tasks, same seeds)"
    fewest, most = difference["trials"]
    trials = f"{most}" if fewest == most else f"{fewest} to {most}"
    return f"{_scored(difference)} held-out tasks, {trials} trials each (same seeds)"


def _interval(difference: Mapping[str, Any]) -> str:
    """The interval after the name of its rule, or why there is none."""
    if "interval" not in difference:
        return "no interval: it needs tasks that changed by different amounts"
    low, high = difference["interval"]
    return f"{difference['method']}: {100 * low:+.1f} to {100 * high:+.1f} points"


def _scored(numbers: Mapping[str, Any]) -> str:
    """How many episodes or tasks were scored, and of how many, if some could not be."""
    scored, asked = numbers["tasks" if "tasks" in numbers else "episodes"], numbers["asked"]
    return f"{scored}" if scored == asked else f"{scored} of {asked}"
