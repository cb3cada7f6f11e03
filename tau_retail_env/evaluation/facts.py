"""What the figures need of an episode: a small extract, so that conversations need not be held."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tau_retail_env.chat.parsing import MalformedMessageError, parse_message
from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.evaluation.failures import failures_of, is_success
from tau_retail_env.evaluation.record import Episode
from tau_retail_env.messages import ToolCall
from tau_retail_env.tasks import Action, Task

SORTED_JSON = json.JSONEncoder(sort_keys=True, default=str)
"""Made once: `json.dumps` with these options makes an encoder each time."""


@dataclass(frozen=True, slots=True)
class Facts:
    """One episode in numbers."""

    task_id: str
    """The task, such as "tau2/12"."""
    trial: int
    """Which of its trials, counted from 0."""
    seed: int
    """The customer's wording."""
    scorable: bool
    """False where the customer failed or the run was stopped."""
    success: bool
    """Whether upstream's reward is 1."""
    stop_reason: str
    """Why the episode ended."""
    error: str = field(default="", kw_only=True)
    """Why the customer, or the judge, failed; empty where neither did."""
    failures: tuple[str, ...]
    """Kinds of failure, see `failures.KINDS`."""
    user_strategy: str = ""
    """Who played the customer."""
    task_version: str | None = None
    """The edition of the source's tasks; None where the record does not tell it."""
    corrected: float | None = None
    """The reward after the named corrections: 0 where a limit ended the episode, as the official one is; None where the
    record does not tell it."""
    process: float | None = None
    """Whether the agent identified, asked and got a yes; None where the record does not say."""
    gold_calls: tuple[int, int] = (0, 0)
    """How many of the task's gold calls were made, of how many; (0, 0) where the task is not here."""
    facts_told: tuple[int, int] = (0, 0)
    """How many of the task's outputs were said, of how many."""
    numbers: Mapping[str, float] = field(default_factory=dict)
    """The episode's metrics and timings by their names in the record."""

    @property
    def key(self) -> tuple[str, int]:
        """Task and trial."""
        return self.task_id, self.trial


def facts_of(episode: Episode, task: Task | None) -> Facts:
    """Extract what the figures need.

    Args:
        episode: the episode.
        task: its task, None where it is not here.
    """
    one = episode.trajectory
    breakdown = one.reward_breakdown
    return Facts(
        task_id=one.task_id,
        trial=episode.trial,
        seed=one.seed,
        scorable=one.scorable,
        success=one.scorable and is_success(breakdown.get("official", one.reward)),
        stop_reason=one.stop_reason,
        error=one.customer_error,
        failures=failures_of(one, task),
        user_strategy=one.user_strategy,
        task_version=one.task_version,
        corrected=0.0 if one.truncated and not breakdown else _number(breakdown.get("corrected")),
        process=_number(breakdown.get("process")),
        gold_calls=(0, 0) if task is None else _gold_calls(one, task.actions),
        facts_told=(0, 0) if task is None else _told(one, task.outputs),
        numbers={**one.metrics, **one.timings},
    )


def calls_of(trajectory: Trajectory) -> Iterator[ToolCall]:
    """The tool calls of the agent's messages, whichever way they are written down; what cannot be parsed has none."""
    for message in trajectory.messages:
        if message["role"] != "assistant":
            continue
        if message.get("tool_calls"):
            yield from map(_openai_call, message["tool_calls"])
            continue
        try:
            yield from parse_message(message.get("content") or "").tool_calls
        except MalformedMessageError:
            continue


def texts_of(trajectory: Trajectory) -> Iterator[str]:
    """What the agent said, without its tool calls and thoughts."""
    for message in trajectory.messages:
        if message["role"] != "assistant" or not message.get("content"):
            continue
        try:
            said = parse_message(message["content"]).content
        except MalformedMessageError:
            continue
        if said:
            yield said


def _openai_call(call: Mapping[str, Any]) -> ToolCall:
    function = call["function"]
    try:
        arguments = json.loads(function["arguments"])
    except (TypeError, ValueError):
        arguments = {}
    return ToolCall(function["name"], arguments if isinstance(arguments, dict) else {}, call.get("id", ""))


def _gold_calls(trajectory: Trajectory, actions: Sequence[Action]) -> tuple[int, int]:
    """How many of the agent's gold calls were made with just these arguments, whatever came of them."""
    wanted = [_key(action.name, action.arguments) for action in actions if action.requestor == "assistant"]
    left = [_key(call.name, call.arguments) for call in calls_of(trajectory)]
    made = 0
    for key in wanted:
        if key in left:
            left.remove(key)
            made += 1
    return made, len(wanted)


def _key(name: str, arguments: Mapping[str, Any]) -> str:
    return SORTED_JSON.encode([name, arguments])


def _told(trajectory: Trajectory, outputs: Sequence[str]) -> tuple[int, int]:
    """How many outputs were said, by both upstreams' rule: within one text, case and the text's commas aside."""
    if not outputs:
        return 0, 0
    heard = [text.lower().replace(",", "") for text in texts_of(trajectory)]
    return sum(any(output.lower() in text for text in heard) for output in outputs), len(outputs)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None
