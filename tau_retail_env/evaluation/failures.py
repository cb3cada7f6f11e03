"""Why an episode failed, from its breakdown and its end: deterministic, one or several kinds for each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import cast

from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.messages import JUDGE_FAILED, StopReason
from tau_retail_env.tasks import Task

TRANSFER_TOOL = "transfer_to_human_agents"
WRONG_WRITE = "wrong write"
MISSING_WRITE = "missing write"
EXTRA_WRITE = "extra write"
NOT_TOLD = "not told"
TRANSFER = "transfer"
LIMIT = "limit"
CUSTOMER = "customer"
JUDGE = "judge"
FORMAT = "format"
OTHER = "other"
KINDS: Mapping[str, str] = MappingProxyType(
    {
        WRONG_WRITE: "an entry of the database was changed otherwise than the gold actions change it",
        MISSING_WRITE: "an entry that the gold actions change was left alone",
        EXTRA_WRITE: "an entry was changed that the gold actions leave alone",
        NOT_TOLD: "an output was not said to the customer, or an assertion about the conversation does not hold",
        TRANSFER: "transferred to a human though the gold actions do not, or not though they do",
        LIMIT: "a limit of turns, steps, errors or tokens came first",
        FORMAT: "half of the agent's messages or more could not be parsed, and a limit came first",
        CUSTOMER: "the customer failed: not scored, no fault of the agent",
        JUDGE: "the model that judges assertions failed: not scored, no fault of the agent",
        OTHER: "none of these: a file that does not tell",
    }
)
"""What each kind means."""
LIMITS = (StopReason.MAX_TURNS, StopReason.MAX_STEPS, StopReason.TOO_MANY_ERRORS, StopReason.LENGTH)
SUCCESS_TOLERANCE = 1e-6
"""How far from 1 a reward may be and count as success, as both upstreams have it."""


def is_success(reward: float) -> bool:
    """Whether a reward is a success, by both upstreams' rule."""
    return abs(reward - 1.0) <= SUCCESS_TOLERANCE


def failures_of(trajectory: Trajectory, task: Task | None) -> tuple[str, ...]:
    """The kinds of failure of an episode, in the order of `KINDS`.

    Args:
        trajectory: the episode.
        task: its task, None where it is not here: then a transfer is not judged.

    Returns:
        Nothing for a success; at least one kind for a failure.
    """
    if not trajectory.scorable:
        return (JUDGE if trajectory.customer_error.startswith(JUDGE_FAILED) else CUSTOMER,)
    if is_success(trajectory.reward):
        return ()
    found = set(_kinds(trajectory, task))
    return tuple(kind for kind in KINDS if kind in found) or (OTHER,)


def _kinds(trajectory: Trajectory, task: Task | None) -> Iterator[str]:
    breakdown, metrics = trajectory.reward_breakdown, trajectory.metrics
    for name, kind in (("wrong_writes", WRONG_WRITE), ("missing_writes", MISSING_WRITE), ("extra_writes", EXTRA_WRITE)):
        if breakdown.get(name):
            yield kind
    if breakdown.get("outputs") == 0.0 and (task is None or "COMMUNICATE" in task.reward_basis):
        yield NOT_TOLD
    if cast(Mapping[str, float], breakdown).get("assertions") == 0.0:
        yield NOT_TOLD
    if task is not None and (metrics.get("transfers", 0) > 0) != hands_over(task):
        yield TRANSFER
    if trajectory.stop_reason in LIMITS:
        is_garbled = 2 * metrics.get("malformed", 0) >= max(metrics.get("turns", 0), 1)
        yield FORMAT if is_garbled else LIMIT


def hands_over(task: Task) -> bool:
    """Whether the gold actions hand the customer over to a human."""
    return any(action.name == TRANSFER_TOOL for action in task.actions)


def count(found: Sequence[Sequence[str]]) -> dict[str, int]:
    """How many episodes have each kind, in the order of `KINDS`; kinds that none has are left out."""
    return {kind: number for kind in KINDS if (number := sum(kind in kinds for kinds in found))}
