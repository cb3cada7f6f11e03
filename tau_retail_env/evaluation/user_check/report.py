"""What a check of a customer found, in words."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.evaluation.report import in_lines
from tau_retail_env.evaluation.user_check.playing import Played
from tau_retail_env.evaluation.user_check.verdict import CUT_OFF, LOST, REASONS, failure_of
from tau_retail_env.statistics.intervals import wilson_interval
from tau_retail_env.tasks import Task
from tau_retail_env.users.usage import Usage, latencies, total_cost_usd

OF_THE_AGENT = ("official", "corrected", "process")
"""How the numbers of a breakdown begin that say nothing about the customer."""
SUPERVISION = {
    "asked_again": "drafts asked for again",
    "rejected": "drafts rejected",
    "unapproved": "messages sent unapproved",
    "held_stops": "early stops held back",
    "role_flips": "messages in the agent's part",
    "loops": "messages that go in circles",
}
"""What `UserMessage.usage` counts besides time, tokens and money."""


@dataclass(frozen=True, slots=True)
class _Episode:
    trajectory: Trajectory
    failure: str | None

    @property
    def is_scored(self) -> bool:
        return self.failure not in (LOST, CUT_OFF)


def as_text(played: Played, tasks: Sequence[Task]) -> str:
    """The report: the rate for each strategy and, of a mixture, for all; the customers' numbers; what to look at.

    Args:
        played: the episodes.
        tasks: their tasks.
    """
    by_id = {task.id: task for task in tasks}
    episodes = [_Episode(one, failure_of(one, by_id[one.task_id])) for one in played.trajectories]
    lines = [_count_line(played, episodes), *_reason_to_end(played)]
    strategies = sorted({one.trajectory.user_strategy for one in episodes})
    for strategy in strategies:
        lines += _strategy_lines(strategy, [one for one in episodes if one.trajectory.user_strategy == strategy])
    if len(strategies) > 1:
        lines.append(f"all customers: {_rate(episodes)}")
    if found := [one for one in episodes if one.failure not in (None, CUT_OFF)]:
        lines += ["episodes to look at:", *(f"  {_episode_line(one)}" for one in found)]
    return in_lines(lines)


def _count_line(played: Played, episodes: Sequence[_Episode]) -> str:
    lost = sum(one.failure == LOST for one in episodes)
    scored = sum(one.is_scored for one in episodes)
    line = f"{played.asked} episodes asked for: {scored} scored, {lost} lost because the customer failed"
    not_played = played.asked - scored - lost
    return f"{line}, {not_played} not played to the end" if not_played else line


def _reason_to_end(played: Played) -> list[str]:
    if played.ended_by is None:
        return []
    is_interrupted = isinstance(played.ended_by, KeyboardInterrupt)
    return ["The check is partial: " + ("it was interrupted" if is_interrupted else f"{played.ended_by}")]


def _strategy_lines(strategy: str, episodes: Sequence[_Episode]) -> list[str]:
    lines = [f"customer {strategy}: {_rate(episodes)}"]
    reasons = Counter(one.failure for one in episodes)
    lines += [f"  {reasons[reason]} {reason}: {meaning}" for reason, meaning in REASONS.items() if reasons[reason]]
    if lost := reasons[LOST]:
        lines.append(f"  {lost} lost, not in this rate: it was not reached, or said nothing that could be sent")
    if cut_off := reasons[CUT_OFF]:
        lines.append(f"  {cut_off} cut off, not in this rate: under way when the check ended; the numbers count them")
    usages = [usage for one in episodes for usage in one.trajectory.customer_usage]
    return [*lines, *_usage_lines(usages)]


def _rate(episodes: Sequence[_Episode]) -> str:
    scored = [one for one in episodes if one.is_scored]
    if not scored:
        return "no episode could be scored"
    failed = sum(one.failure is not None for one in scored)
    interval = wilson_interval(failed, len(scored))
    return (
        f"a perfect agent fails in {failed} of {len(scored)} scored episodes, {failed / len(scored):.1%} "
        f"(95 %: {interval.low:.1%} to {interval.high:.1%})"
    )


def _usage_lines(usages: Sequence[Mapping[str, float]]) -> list[str]:
    if not usages:
        return []
    total: dict[str, float] = defaultdict(float)
    for usage in usages:
        for name, value in usage.items():
            total[name] += value
    latency = latencies([usage["latency_s"] for usage in usages if "latency_s" in usage])
    cost_usd = total_cost_usd(map(Usage.read, usages))
    cost = f"${cost_usd:.4f}" if cost_usd is not None else "of unknown cost"
    lines = [
        f"  {len(usages):,} messages; latency p50 {latency['latency_p50_s']:.2f} s, "
        f"p95 {latency['latency_p95_s']:.2f} s",
        f"  {total['prompt_tokens']:,.0f} prompt and {total['completion_tokens']:,.0f} completion tokens, {cost}; "
        f"{total['calls']:,.0f} calls, {total['replayed']:,.0f} replayed, {total['retries']:,.0f} retries, "
        f"{total['failures']:,.0f} failures",
    ]
    counted = [f"{total[name]:,.0f} {words}" for name, words in SUPERVISION.items() if total[name]]
    return [*lines, f"  {', '.join(counted)}"] if counted else lines


def _episode_line(episode: _Episode) -> str:
    one = episode.trajectory
    of_customer = {name: value for name, value in one.reward_breakdown.items() if not name.startswith(OF_THE_AGENT)}
    parts = [f"{name.replace('_', ' ')} {value:g}" for name, value in of_customer.items()]
    parts += [one.customer_error] if one.customer_error else []
    where = f"{one.task_id} seed {one.seed}, customer {one.user_strategy}: {episode.failure} ({one.stop_reason})"
    return f"{where}: {', '.join(parts)}" if parts else where
