"""The figures of an evaluation, as results.json holds them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import NormalDist, fmean
from typing import Any

from tau_retail_env.evaluation.audit import nothing_earns
from tau_retail_env.evaluation.facts import Facts
from tau_retail_env.evaluation.failures import count
from tau_retail_env.evaluation.settings import EvalSettings
from tau_retail_env.sources.registry import source_of
from tau_retail_env.statistics.clusters import rate_interval
from tau_retail_env.statistics.intervals import Interval
from tau_retail_env.statistics.passes import Estimate, mean_of_tasks, pass_curve
from tau_retail_env.tasks import SUBSETS, Task
from tau_retail_env.world.tool_errors import KINDS as ERROR_KINDS

Outcomes = dict[str, list[bool]]
"""By task, whether each scored trial succeeded."""
MOST_ACTIONS = 10
"""Tasks with so many gold actions or more stand in one row."""
COUNTED = ("turns", "tool_calls", "tool_errors", "malformed", "transfers")
"""Metrics that the table of one episode's means has."""
TOKENS = ("agent_prompt_tokens", "agent_completion_tokens", "response_tokens", "customer_prompt_tokens")
SLIPS = ("customer_role_flips", "customer_loops")
"""Messages of a model that plays the customer, sent although they fall out of its part."""
CUT = "cut_turns"
"""Messages that a checkpoint did not end itself."""
SECONDS = ("episode_s", "environment_s", "agent_s", "customer_latency_s")


def outcomes_of(episodes: Iterable[Facts]) -> Outcomes:
    """By task, whether each scored trial succeeded, in the order of the trials; tasks without one are left out."""
    found: dict[str, dict[int, bool]] = defaultdict(dict)
    for one in episodes:
        if one.scorable:
            found[one.task_id][one.trial] = one.success
    return {task: [trials[trial] for trial in sorted(trials)] for task, trials in found.items()}


def figures(
    settings: EvalSettings, episodes: Sequence[Facts], spent: Sequence[Facts], tasks: Sequence[Task]
) -> dict[str, Any]:
    """Everything in results.json.

    Args:
        settings: what was to be played.
        episodes: one for each task and trial that was played.
        spent: episodes that were played again: they are in the costs alone.
        tasks: the tasks, as far as they are here; without them there is no floor, and no table by kind of task.

    Returns:
        What JSON can hold; `pass^k` and `pass@k` as `estimate` has them, each over the same tasks.
    """
    scored = sum(one.scorable for one in episodes)
    asked = len(settings.tasks) * settings.trials
    return {
        "agent": settings.agent,
        "model": settings.model,
        "source": settings.source,
        "task_version": settings.task_version,
        "split": settings.split,
        "subset": settings.subset,
        "customer": dict(settings.customer),
        "customer_digest": settings.customer_digest,
        "judge": dict(settings.judge),
        "tasks": len(settings.tasks),
        "trials": settings.trials,
        "episodes": {
            "asked": asked,
            "scored": scored,
            "unscorable": len(episodes) - scored,
            "first_error": next((one.error for one in episodes if one.error and not one.scorable), None),
            "not_played": asked - len(episodes),
            "tasks_without_a_score": len(settings.tasks) - len({one.task_id for one in episodes if one.scorable}),
        },
        **measured(episodes, spent, tasks, settings.trials),
        "package_version": settings.package_version,
    }


def measured(episodes: Sequence[Facts], spent: Sequence[Facts], tasks: Sequence[Task], trials: int) -> dict[str, Any]:
    """The figures that need no settings, so that episodes of any origin have them.

    Args:
        episodes: one for each task and trial that was played.
        spent: episodes that were played again: they are in the costs alone.
        tasks: the tasks of one source, as far as they are here.
        trials: how often each task was to be played.
    """
    scored = [one for one in episodes if one.scorable]
    outcomes = outcomes_of(scored)
    return {
        **_passes(outcomes, trials),
        "floor": floor([task for task in tasks if task.id in outcomes]),
        "rewards": _rewards(scored),
        "tool_accuracy": _tool_accuracy(scored),
        "response_quality": _response_quality(scored),
        "failures": count([one.failures for one in episodes if not one.success]),
        "customer_slips": _customer_slips(scored),
        "cut_messages": _with_cut_messages(scored),
        "by_subset": _by_subset(outcomes, tasks),
        "by_gold_actions": _by_gold_actions(outcomes, tasks),
        "per_episode": _means(scored),
        "cost_usd": _costs([*episodes, *spent]),
        "seconds": {name: _total(scored, name) for name in SECONDS if _tell(scored, name)},
    }


def estimate(one: Estimate) -> dict[str, Any]:
    """An estimate as JSON: `value`, `interval`, `bootstrap` and `miller` (low and high, or null), `tasks`."""
    return {
        "value": one.value,
        "interval": _ends(one.interval),
        "bootstrap": _ends(one.bootstrap),
        "miller": _ends(one.analytic),
        "tasks": one.tasks,
    }


def interval_of(one: Mapping[str, Any]) -> Interval:
    """The interval that is shown of an estimate.

    Args:
        one: as `estimate` makes it; in older results it has no `interval`, which is worked out from Miller's.
    """
    if "interval" in one:
        return Interval(*one["interval"])
    low, high = one["miller"] or (0.0, 0.0)
    standard_error = (high - low) / 2 / NormalDist().inv_cdf(0.975)
    return rate_interval(one["value"], standard_error, one["tasks"])


def floor(tasks: Sequence[Task]) -> float | None:
    """The share of tasks that an agent passes which does nothing, if the customer ends the conversation.

    Args:
        tasks: of one source; None is returned where there are none.
    """
    if not tasks:
        return None
    shop = source_of(tasks[0]).shop()
    return fmean(nothing_earns(shop, task) for task in tasks)


def _passes(outcomes: Outcomes, trials: int) -> dict[str, Any]:
    if not outcomes:
        return {"undefined": dict.fromkeys(map(str, range(1, trials + 1)), "undefined: no episode was scored")}
    curve = pass_curve(outcomes, trials)
    return {
        **{f"pass^{k}": estimate(one) for k, one in curve.all_of_k.items()},
        **{f"pass@{k}": estimate(one) for k, one in curve.one_of_k.items()},
        "undefined": {str(k): why for k, why in curve.undefined.items()},
    }


def _rewards(scored: Sequence[Facts]) -> dict[str, Any]:
    """Official, corrected and process, each a mean over tasks of their trials' means; those that the record has."""
    of: Mapping[str, Callable[[Facts], float | None]] = {
        "official": lambda one: float(one.success),
        "corrected": lambda one: one.corrected,
        "process": lambda one: one.process,
    }
    return {name: estimate(found) for name, read in of.items() if (found := _over_tasks(scored, read)) is not None}


def _tool_accuracy(scored: Sequence[Facts]) -> dict[str, float | None]:
    """Calls without an error, of all calls; gold calls made, of all gold calls."""
    calls, errors = _total(scored, "tool_calls"), _total(scored, "tool_errors")
    return {
        "calls_without_error": (calls - errors) / calls if calls else None,
        "gold_calls_made": _share([one.gold_calls for one in scored]),
    }


def _response_quality(scored: Sequence[Facts]) -> dict[str, float | None]:
    """Outputs said to the customer, of all outputs; and the process rate."""
    processes = [one.process for one in scored if one.process is not None]
    return {
        "facts_told": _share([one.facts_told for one in scored]),
        "process": fmean(processes) if processes else None,
    }


def _customer_slips(scored: Sequence[Facts]) -> int | None:
    """Episodes whose customer fell out of its part at least once; None where no customer is one that is watched."""
    if not any(_tell(scored, name) for name in SLIPS):
        return None
    return sum(any(one.numbers.get(name) for name in SLIPS) for one in scored)


def _with_cut_messages(scored: Sequence[Facts]) -> int | None:
    """Episodes in which a limit cut off a message of the agent; None where no record says so, as of a server's."""
    return sum(one.numbers.get(CUT, 0) > 0 for one in scored) if _tell(scored, CUT) else None


def _by_subset(outcomes: Outcomes, tasks: Sequence[Task]) -> dict[str, Any]:
    return _table(outcomes, {name: [task.id for task in tasks if is_in(task)] for name, is_in in SUBSETS.items()})


def _by_gold_actions(outcomes: Outcomes, tasks: Sequence[Task]) -> dict[str, Any]:
    rows: dict[str, list[str]] = {}
    for task in sorted(tasks, key=lambda task: len(task.actions)):
        number = len(task.actions)
        rows.setdefault(f"{MOST_ACTIONS}+" if number >= MOST_ACTIONS else str(number), []).append(task.id)
    return _table(outcomes, rows)


def _table(outcomes: Outcomes, rows: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """pass^1 of some kinds of tasks; kinds of which no episode was scored are left out."""
    table = {}
    for name, ids in rows.items():
        rates = [fmean(outcomes[task]) for task in ids if task in outcomes]
        if rates:
            table[name] = {"pass^1": estimate(mean_of_tasks(rates))}
    return table


def _means(scored: Sequence[Facts]) -> dict[str, float]:
    names = [*COUNTED, *(f"tool_errors_{kind}" for kind in ERROR_KINDS), *TOKENS]
    return {name: _total(scored, name) / len(scored) for name in names if _tell(scored, name)}


def _costs(episodes: Sequence[Facts]) -> dict[str, float]:
    """Dollars of agent and customer, where every episode with a call has them; failed ones are paid, too."""
    costs = {}
    for who, calls in (("agent", "agent_calls"), ("customer", "customer_calls")):
        paid = [one for one in episodes if one.numbers.get(calls)]
        if paid and all(f"{who}_cost_usd" in one.numbers for one in paid):
            costs[who] = _total(paid, f"{who}_cost_usd")
    return costs


def _over_tasks(scored: Sequence[Facts], read: Callable[[Facts], float | None]) -> Estimate | None:
    found: dict[str, list[float]] = defaultdict(list)
    for one in scored:
        if (value := read(one)) is not None:
            found[one.task_id].append(value)
    return mean_of_tasks([fmean(values) for values in found.values()]) if found else None


def _share(pairs: Iterable[tuple[int, int]]) -> float | None:
    parts, wholes = 0, 0
    for part, whole in pairs:
        parts, wholes = parts + part, wholes + whole
    return parts / wholes if wholes else None


def _total(episodes: Sequence[Facts], name: str) -> float:
    return sum(one.numbers.get(name, 0.0) for one in episodes)


def _tell(episodes: Sequence[Facts], name: str) -> bool:
    return any(name in one.numbers for one in episodes)


def _ends(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]
