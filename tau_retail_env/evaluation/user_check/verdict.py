"""Why an episode of the oracle agent failed, as far as the conversation shows it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from tau_retail_env.agents.lookups import call_key
from tau_retail_env.agents.oracle import CONFIRMATION
from tau_retail_env.agents.oracle_steps import TRANSFER
from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.tasks import Task, gold_writes

LOST = "customer failed"
"""Not scored, and no failure of the agent: the server was not reached, or its model wrote nothing that can be sent."""
CUT_OFF = "cut off"
"""Not scored: it was under way when the check ended."""
STOPPED_EARLY = "stopped early"
NOT_IDENTIFIED = "not identified"
NOT_CONFIRMED = "not confirmed"
NEVER_ENDED = "never ended"
OUT_OF_MESSAGES = "out of messages"
OTHERWISE = "otherwise"
REASONS: Mapping[str, str] = MappingProxyType(
    {
        STOPPED_EARLY: "the customer ended the conversation before all was done or told",
        NOT_IDENTIFIED: "the customer gave no email, or name and zip code, that the shop knows",
        NOT_CONFIRMED: "the oracle asked for a yes to a gold action until the limit, and understood none",
        NEVER_ENDED: "all was done, and the customer went on until the limit",
        OUT_OF_MESSAGES: "the limit came while the oracle was still at work",
        OTHERWISE: "the conversation shows no reason of these",
    }
)
"""Why a scored episode failed, and what that means."""


def failure_of(trajectory: Trajectory, task: Task) -> str | None:
    """Why an episode of the oracle failed.

    Args:
        trajectory: the episode.
        task: its task.

    Returns:
        None for reward 1.0; where it is not scored `CUT_OFF` or `LOST`; else one of `REASONS`.
    """
    if trajectory.stop_reason == "stopped":
        return CUT_OFF
    if not trajectory.scorable:
        return LOST
    if trajectory.reward == 1.0:
        return None
    if not _is_identified(trajectory) and (_was_handed_over(trajectory) or not trajectory.terminated):
        return NOT_IDENTIFIED
    breakdown = trajectory.reward_breakdown
    if trajectory.terminated:
        is_missing = breakdown.get("missing_writes") or breakdown.get("outputs") == 0.0
        return STOPPED_EARLY if is_missing else OTHERWISE
    if _has_written_all(trajectory, task):
        return NEVER_ENDED
    return NOT_CONFIRMED if _last_words(trajectory).endswith(CONFIRMATION) else OUT_OF_MESSAGES


def _calls(trajectory: Trajectory) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for message in trajectory.messages:
        for call in message.get("tool_calls", ()):
            yield call["function"]["name"], json.loads(call["function"]["arguments"])


def _is_identified(trajectory: Trajectory) -> bool:
    return any(
        message["role"] == "tool"
        and message["name"].startswith("find_user_id_by_")
        and not message["content"].startswith("Error")
        for message in trajectory.messages
    )


def _was_handed_over(trajectory: Trajectory) -> bool:
    return any(name == TRANSFER for name, _ in _calls(trajectory))


def _has_written_all(trajectory: Trajectory, task: Task) -> bool:
    wanted = Counter(call_key(action.name, action.arguments) for action in gold_writes(task))
    return not wanted - Counter(call_key(name, arguments) for name, arguments in _calls(trajectory))


def _last_words(trajectory: Trajectory) -> str:
    said = [message["content"] for message in trajectory.messages if message["role"] == "assistant"]
    return next((words for words in reversed(said) if words), "")
