"""Two agents or more on the same tasks: differences with intervals, and the tasks that flipped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.evaluation.conditions import Differences, differences_of, in_words
from tau_retail_env.evaluation.facts import Facts
from tau_retail_env.evaluation.outcome import outcomes_of
from tau_retail_env.evaluation.report import counted, in_lines, percent
from tau_retail_env.evaluation.settings import different_tasks
from tau_retail_env.evaluation.sides import NOT_TOLD, Side
from tau_retail_env.statistics.intervals import Interval
from tau_retail_env.statistics.paired import PairedDifference, paired_difference
from tau_retail_env.statistics.power import times_standard_error

NO_DIFFERENCE = "no difference shown"
MOST_FLIPPED = 20
"""Tasks that flipped of which the screen shows episodes."""


@dataclass(frozen=True, slots=True)
class Flipped:
    """A task on which two agents differ."""

    task_id: str
    """The task."""
    first: float
    """The first agent's success, 0 to 1."""
    second: float
    """The second agent's."""
    episodes: tuple[str, ...]
    """The trials that differ from the other agent's, in words."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A second agent against a first."""

    first: Side
    second: Side
    difference: PairedDifference
    """Second less first, over the tasks of both."""
    rates: tuple[float, float]
    """pass^1 of each over these tasks."""
    only_first: int
    """Tasks that only the first played."""
    only_second: int
    """Tasks that only the second played."""
    flipped: Sequence[Flipped]
    """Those on which they differ, the largest differences first."""
    played_otherwise: Differences
    """How B was played otherwise than A: customer, prompt, limits and sampling, as far as both tell it."""
    detectable: float | None
    """The smallest difference that such trials show in 80 of 100 comparisons; None where the tasks do not tell."""


def compare(first: Side, second: Side) -> Comparison:
    """Compare two agents task by task.

    Args:
        first: the one to compare with.
        second: the other.

    Raises:
        InvalidValueError: tasks of the same name but another content, named; or no task in common.
    """
    _check_versions(first, second)
    one, two = outcomes_of(first.episodes), outcomes_of(second.episodes)
    both = [task for task in one if task in two]
    if not both:
        raise InvalidValueError(
            f"{first.name} and {second.name} have no scored task in common: {_example(one)} and {_example(two)}"
        )
    difference = paired_difference(one, two)
    rates = fmean(fmean(one[task]) for task in both), fmean(fmean(two[task]) for task in both)
    return Comparison(
        first,
        second,
        difference,
        rates,
        len(one.keys() - two.keys()),
        len(two.keys() - one.keys()),
        _flipped(first, second, {task: (fmean(one[task]), fmean(two[task])) for task in both}),
        differences_of(first.settings, second.settings),
        _detectable(difference),
    )


def as_json(found: Comparison) -> dict[str, Any]:
    """The comparison as JSON; intervals are [low, high] or null."""
    difference = found.difference
    return {
        "first": {"name": found.first.name, "pass^1": found.rates[0], "task_version": found.first.task_version},
        "second": {"name": found.second.name, "pass^1": found.rates[1], "task_version": found.second.task_version},
        "tasks": difference.tasks,
        "played_otherwise": found.played_otherwise,
        "only_first": found.only_first,
        "only_second": found.only_second,
        "difference": difference.value,
        "bootstrap": _ends(difference.bootstrap),
        "miller": _ends(difference.analytic),
        "mcnemar_p": difference.p_value,
        "is_shown": difference.is_shown,
        "detectable": found.detectable,
        "flipped": [
            {"task": one.task_id, "first": one.first, "second": one.second, "episodes": list(one.episodes)}
            for one in found.flipped
        ],
    }


def as_text(found: Comparison) -> str:
    """The comparison in words."""
    first, second, difference = found.first, found.second, found.difference
    lines = [
        f"A {first.name}: {first.what}, tasks {first.task_version}",
        f"B {second.name}: {second.what}, tasks {second.task_version}",
        *([f"not played alike: {in_words(found.played_otherwise)}"] if found.played_otherwise else []),
        f"pass^1 on the same {counted(difference.tasks, 'task')}: "
        f"A {percent(found.rates[0])}, B {percent(found.rates[1])}",
        f"B less A: {100 * difference.value:+.1f} points, {_intervals(difference)}",
    ]
    if difference.p_value is not None:
        lines.append(f"McNemar's exact test, single trials: p = {difference.p_value:.3g}")
    lines.append(_verdict(found))
    for count, name in ((found.only_first, "A"), (found.only_second, "B")):
        if count:
            lines.append(f"left out, since only {name} has scored them: {counted(count, 'task')}")
    if found.flipped:
        lines.append(f"{counted(len(found.flipped), 'task')} flipped (success of A, of B):")
        lines += [_flip_line(one) for one in found.flipped[:MOST_FLIPPED]]
        if len(found.flipped) > MOST_FLIPPED:
            lines.append(f"  … and {len(found.flipped) - MOST_FLIPPED} more; --json has all")
    return in_lines(lines)


def _verdict(found: Comparison) -> str:
    if found.difference.is_shown:
        why = "every method leaves out 0" if found.difference.bootstrap else "on every task"
        return f"{'B' if found.difference.value > 0 else 'A'} is better: {why}"
    words = NO_DIFFERENCE
    if found.detectable is not None:
        words += f"; so many trials show one of {100 * found.detectable:.1f} points in 80 % of comparisons"
    return words


def _intervals(difference: PairedDifference) -> str:
    if difference.bootstrap is None or difference.analytic is None:
        return "no interval: every task changed by the same amount"
    return f"95 % [{_points(difference.bootstrap)}]  Miller [{_points(difference.analytic)}]"


def _points(interval: Interval) -> str:
    return f"{100 * interval.low:+.1f}, {100 * interval.high:+.1f}"


def _flip_line(one: Flipped) -> str:
    return f"  {one.task_id}: {percent(one.first)} -> {percent(one.second)}; {'; '.join(one.episodes)}"


def _flipped(first: Side, second: Side, rates: Mapping[str, tuple[float, float]]) -> list[Flipped]:
    found = []
    for task, (before, after) in rates.items():
        if before != after:
            episodes = [f"{name} {_failed_words(side, task)}" for name, side in (("A", first), ("B", second))]
            found.append(Flipped(task, before, after, tuple(episodes)))
    return sorted(found, key=lambda one: (-abs(one.second - one.first), one.task_id))


def _failed_words(side: Side, task: str) -> str:
    """A side's trials of a task: which failed, and why."""
    of_task = sorted((one for one in side.episodes if one.task_id == task and one.scorable), key=lambda one: one.trial)
    failed = [f"trial {one.trial} {_why(one)}" for one in of_task if not one.success]
    return f"failed {', '.join(failed)}" if failed else f"solved all {len(of_task)}"


def _why(one: Facts) -> str:
    return f"(seed {one.seed}: {' and '.join(one.failures)})"


def _detectable(difference: PairedDifference) -> float | None:
    """What such a comparison shows in 80 of 100 cases, from the spread of the tasks' own differences."""
    if difference.analytic is None:
        return None
    return times_standard_error() * difference.standard_error


def _check_versions(first: Side, second: Side) -> None:
    """Refuse two domains, tasks of one name that ask different things, and task versions that differ as a whole.

    Raises:
        InvalidValueError: names the domains, the versions, or the tasks.
    """
    if first.domains and second.domains and not first.domains & second.domains:
        domains = ", ".join(f"{side.name} is of {' and '.join(sorted(side.domains))}" for side in (first, second))
        raise InvalidValueError(f"Results of two domains have no task in common: {domains}")
    shared = first.tasks.keys() & second.tasks.keys()
    ours, theirs = ({task: side.tasks[task] for task in shared} for side in (first, second))
    if ours != theirs:
        raise InvalidValueError(
            f"{first.name} (tasks {first.task_version}) and {second.name} (tasks {second.task_version}) played "
            f"different versions of the same tasks: {different_tasks(ours, theirs)}. "
            "Play one of them with the other's --task-version"
        )
    if not first.sources & second.sources:
        return  # versions of two sources differ in nothing but names
    one, two = _versions(first), _versions(second)
    if len(one | two) > 1 and one and two:
        versions = ", ".join(
            f"{side.name} has {' and '.join(sorted(found))}" for side, found in ((first, one), (second, two))
        )
        raise InvalidValueError(f"Results of two task versions cannot be compared: {versions}. Play both with one")


def _versions(side: Side) -> set[str]:
    """The task versions that a side is known to have."""
    if side.task_version != NOT_TOLD:
        return {side.task_version}
    return {one.task_version for one in side.episodes if one.task_version is not None}


def _example(outcomes: Mapping[str, Any]) -> str:
    return f"{len(outcomes)} tasks such as {next(iter(outcomes))}" if outcomes else "none"


def _ends(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]
