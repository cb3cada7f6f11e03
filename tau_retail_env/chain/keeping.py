"""Which of a task's episodes are kept: successes, the least alike first, else the best that was partly right."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tau_retail_env.chain.play_settings import Keep
from tau_retail_env.episodes.trajectory import Trajectory


@dataclass(frozen=True, slots=True)
class Candidate:
    """What the choice needs of an episode."""

    place: int
    """Its place in the record."""
    task_id: str
    """The task."""
    reward: float
    """What it earned; 1 is a success."""
    partial: float
    """How much of the task was right, 0 where it was not judged."""
    followed_process: bool
    """Whether every process check held."""
    said: frozenset[str]
    """The agent's messages, each once."""
    tokens: int
    """How long it is."""


def candidate_of(place: int, one: Trajectory) -> Candidate | None:
    """An episode as a candidate; None where it cannot be scored or no model's tokens were recorded.

    Args:
        place: its place in the record.
        one: the episode.
    """
    if not one.scorable or not any(one.response_mask):
        return None
    parts = one.reward_breakdown
    said = frozenset(str(message.get("content")) for message in one.messages if message["role"] == "assistant")
    return Candidate(
        place=place,
        task_id=one.task_id,
        reward=one.reward,
        partial=parts.get("partial", 0.0),
        followed_process=parts.get("process") == 1.0,
        said=said,
        tokens=len(one.token_ids),
    )


def chosen(candidates: Iterable[Candidate], keep: Keep) -> list[Candidate]:
    """The episodes that are kept, in the order of the record.

    Args:
        candidates: all that were played.
        keep: how to choose.
    """
    by_task: dict[str, list[Candidate]] = {}
    for one in candidates:
        if one.followed_process or not keep.require_process:
            by_task.setdefault(one.task_id, []).append(one)
    kept = [one for played in by_task.values() for one in _of_task(played, keep)]
    return sorted(kept, key=lambda one: one.place)


def _of_task(played: Sequence[Candidate], keep: Keep) -> list[Candidate]:
    if won := [one for one in played if one.reward == 1.0]:
        return _unlike(won, keep.per_task)
    best = max(played, key=lambda one: (one.partial, -one.tokens))
    return [best] if keep.min_partial is not None and 0 < best.partial >= keep.min_partial else []


def _unlike(won: Sequence[Candidate], count: int) -> list[Candidate]:
    """The shortest, then again and again the one that is least like those taken; none that says just the same."""
    left = sorted(won, key=lambda one: (one.tokens, one.place))
    taken = [left.pop(0)]
    while left and len(taken) < count:
        likeness = {one.place: max(_likeness(one, other) for other in taken) for one in left}
        left = [one for one in left if likeness[one.place] < 1.0]
        if left:
            taken.append(min(left, key=lambda one: likeness[one.place]))
            left.remove(taken[-1])
    return taken


def _likeness(first: Candidate, second: Candidate) -> float:
    """The share of messages that two episodes have in common (Jaccard)."""
    return len(first.said & second.said) / len(first.said | second.said)
