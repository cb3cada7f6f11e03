"""An evaluation's figures in words, for the screen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tau_retail_env.evaluation.outcome import interval_of
from tau_retail_env.messages import JUDGE_FAILED
from tau_retail_env.world.tool_errors import KINDS as ERROR_KINDS

MOST_FIGURES = 12
"""Lines of one kind of figure that are shown at most."""


def as_text(results: Mapping[str, Any]) -> str:
    """The figures, one to a line.

    Args:
        results: what results.json holds.
    """
    return in_lines(
        [
            *_heading(results),
            *_pass_lines(results),
            *_reward_lines(results),
            *_quality_lines(results),
            *_failure_lines(results),
            *_table("by subset", results["by_subset"]),
            *_table("by number of gold actions", results["by_gold_actions"]),
            *_per_episode(results),
            *_cost_line(results),
        ]
    )


def in_lines(lines: Iterable[str]) -> str:
    """Lines of text; a name or an error in one, which may hold a line's end, begins no other."""
    return "\n".join(" ".join(line.splitlines()) for line in lines)


def counted(number: int, noun: str) -> str:
    """A number and what it is of, such as 1 task or 2 tasks."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def percent(value: float) -> str:
    """A share as a percentage with one decimal."""
    return f"{100 * value:.1f}"


def in_words(one: Mapping[str, Any]) -> str:
    """An estimate with its intervals, in percent."""
    return f"{percent(one['value']):>5}  {intervals(one)}"


def intervals(one: Mapping[str, Any]) -> str:
    """The intervals of an estimate; the bootstrap's and Miller's are told where the tasks differ."""
    shown = interval_of(one)
    words = f"[{_range((shown.low, shown.high))}]"
    if one["bootstrap"] is None:
        return words
    return f"{words}  bootstrap [{_range(one['bootstrap'])}]  Miller [{_range(one['miller'])}]"


def _range(ends: Sequence[float]) -> str:
    """An interval of a share, in percent; a normal one may reach beyond what a share can be."""
    return f"{percent(max(ends[0], 0.0))}, {percent(min(ends[1], 1.0))}"


def _heading(results: Mapping[str, Any]) -> list[str]:
    agent = f"{results['agent']} ({results['model']})" if results["model"] else results["agent"]
    customer = results["customer"]
    model = f" {customer['model']}" if customer.get("model") else ""
    episodes = results["episodes"]
    lines = [
        f"agent {agent} on {results['source']} {results['task_version']}, split {results['split']}, "
        f"subset {results['subset']}",
        f"customer {customer.get('strategy')}{model} ({results['customer_digest']})",
        f"{episodes['scored']} of {episodes['asked']} episodes scored: "
        f"{counted(results['tasks'], 'task')}, {counted(results['trials'], 'trial')} each",
    ]
    if episodes["unscorable"]:
        error = episodes.get("first_error") or "the record does not say why"
        who = "judge" if error.startswith(JUDGE_FAILED) else "customer"
        lines.append(f"{episodes['unscorable']} unscorable, the first because the {who} failed every time:")
        lines.append(f"  {error.removeprefix(JUDGE_FAILED)}")
    if episodes["not_played"]:
        lines.append(f"PARTIAL: {episodes['not_played']} not played; the same command goes on")
    if slips := results.get("customer_slips"):
        lines.append(
            f"in {slips} of {counted(episodes['scored'], 'scored episode')} the customer spoke as the agent, or went "
            "in circles: these say little about the agent"
        )
    if cut := results.get("cut_messages"):
        lines.append(
            f"in {cut} of {counted(episodes['scored'], 'scored episode')} a limit cut off a message of the agent: "
            "the tokens of one (max_new_tokens), or of the episode (sequence_length)"
        )
    if left_out := episodes["tasks_without_a_score"]:
        verb = "is" if left_out == 1 else "are"
        lines.append(f"{counted(left_out, 'task')} without a scored episode {verb} in no figure")
    return lines


def _pass_lines(results: Mapping[str, Any]) -> list[str]:
    all_succeed = [f"  {name}  {in_words(one)}" for name, one in results.items() if name.startswith("pass^")]
    one_succeeds = [
        f"  {name}  {in_words(one)}" for name, one in results.items() if name.startswith("pass@") and name != "pass@1"
    ]
    undefined = [f"  pass^{k}, pass@{k} {why}" for k, why in results["undefined"].items()]
    lines = ["percent of tasks, with 95 % intervals over tasks:"] if all_succeed or one_succeeds else []
    return lines + [line for group in (all_succeed, one_succeeds, undefined) for line in _first(group)]


def _first(lines: Sequence[str]) -> list[str]:
    """As many lines as a screen takes: with a thousand trials there are as many figures."""
    if len(lines) <= MOST_FIGURES:
        return list(lines)
    return [*lines[:MOST_FIGURES], f"  … and {len(lines) - MOST_FIGURES:,} more: results.json has them"]


def _reward_lines(results: Mapping[str, Any]) -> list[str]:
    lines = [f"  {name} reward  {in_words(one)}" for name, one in results["rewards"].items() if name != "official"]
    if results["floor"] is not None:
        lines.append(f"  floor   {percent(results['floor']):>5}  doing nothing passes so many of these tasks")
    return lines


def _quality_lines(results: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, words in (("tool_accuracy", "tool accuracy"), ("response_quality", "response quality")):
        shares = [
            f"{part.replace('_', ' ')} {percent(value)}" for part, value in results[name].items() if value is not None
        ]
        if shares:
            lines.append(f"{words}: {', '.join(shares)}")
    return lines


def _failure_lines(results: Mapping[str, Any]) -> list[str]:
    failures = results["failures"]
    if not failures:
        return []
    return ["failed episodes with: " + ", ".join(f"{kind} {number}" for kind, number in failures.items())]


def _table(title: str, table: Mapping[str, Any]) -> list[str]:
    if not table:
        return []
    width = max(map(len, table))
    rows = [
        f"  {name:<{width}}  {_tasks(row['pass^1']['tasks'])}  {in_words(row['pass^1'])}" for name, row in table.items()
    ]
    return [f"pass^1 {title}:", *rows]


def _tasks(count: int) -> str:
    return f"{count:>4} task" + (" " if count == 1 else "s")


def _per_episode(results: Mapping[str, Any]) -> list[str]:
    means = results["per_episode"]
    errors = [f"{kind} {means[f'tool_errors_{kind}']:.2f}" for kind in ERROR_KINDS if means.get(f"tool_errors_{kind}")]
    named = [
        f"{name.replace('_', ' ')} {value:,.1f}" for name, value in means.items() if not name.startswith("tool_errors_")
    ]
    lines = [f"per episode: {', '.join(named)}"] if named else []
    return lines + ([f"  errors by kind: {', '.join(errors)}"] if errors else [])


def _cost_line(results: Mapping[str, Any]) -> list[str]:
    costs = [f"{who} ${cost:.4f}" for who, cost in results["cost_usd"].items()]
    times = [
        f"{name.removesuffix('_s').replace('_', ' ')} {value:,.1f} s" for name, value in results["seconds"].items()
    ]
    lines = [f"cost: {', '.join(costs)}"] if costs else []
    return lines + ([f"time of all episodes: {', '.join(times)}"] if times else [])
