"""A table of sampled episodes for trackers: few, cut to a length, and without anything that a page would obey."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields

from tau_retail_env.episodes.trajectory import Trajectory

NAME = "episodes"
"""What trackers call the table."""
MOST_ROWS = 16
"""Episodes of a validation that are shown: the same tasks in every one."""
LONGEST = 4000
"""Characters of a conversation that are shown, from both its ends."""
LEFT_OUT = "\n[…]\n"
OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters but for tab and end of line, and those that turn the direction of writing."""
MARKED = re.compile(r"[\\`*_{}\[\]()#+\-.!|~<>&\"':@/]")
"""What HTML and Markdown read as more than itself, and what addresses are made of."""


@dataclass(frozen=True, slots=True)
class Row:
    """One episode."""

    step: int
    """The step whose validation it was played in."""
    task: str
    """Its task."""
    trial: int
    """Which of the task's trials: the seed of the model's draws."""
    reward: float
    """What it earned."""
    ended_by: str
    """Why it ended."""
    conversation: str
    """What was said, the system prompt aside."""

    @property
    def cells(self) -> tuple[int | float | str, ...]:
        """Its values in the order of `COLUMNS`."""
        return astuple(self)


COLUMNS = tuple(entry.name for entry in fields(Row))
"""The table's columns."""


def row_of(trajectory: Trajectory, step: int) -> Row:
    """The row of an episode.

    Args:
        trajectory: the episode.
        step: the step whose validation it was played in.
    """
    said = "\n".join(map(_said, (message for message in trajectory.messages if message["role"] != "system")))
    return Row(
        step,
        trajectory.task_id,
        trajectory.sampling_seed,
        trajectory.reward,
        str(trajectory.stop_reason),
        _cut(OBEYED.sub(lambda found: ascii(found[0])[1:-1], said)),
    )


def sampled(rows: Iterable[Row]) -> list[Row]:
    """At most `MOST_ROWS` rows of a validation, evenly spaced over its tasks and trials.

    Args:
        rows: of one step.
    """
    ordered = sorted(rows, key=lambda row: (row.task, row.trial))
    if len(ordered) <= MOST_ROWS:
        return ordered
    return [ordered[place * len(ordered) // MOST_ROWS] for place in range(MOST_ROWS)]


def as_markdown(rows: Sequence[Row]) -> str:
    """The table as Markdown in which every text is inert: no mark-up, no HTML, no link.

    Args:
        rows: as `sampled` chooses them.
    """
    lines = [f"| {' | '.join(name.replace('_', ' ') for name in COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    lines += [f"| {' | '.join(_inert(str(cell)) for cell in row.cells)} |" for row in rows]
    return "\n".join(lines)


def _said(message: object) -> str:
    assert isinstance(message, dict)
    calls = [call["function"] for call in message.get("tool_calls") or ()]
    parts = [message.get("content") or "", *(f"{call['name']}({call['arguments']})" for call in calls)]
    return f"{message['role']}: {' '.join(part for part in parts if part)}"


def _cut(text: str) -> str:
    half = (LONGEST - len(LEFT_OUT)) // 2
    return text if len(text) <= LONGEST else text[:half] + LEFT_OUT + text[-half:]


def _inert(text: str) -> str:
    return MARKED.sub(lambda found: f"&#{ord(found[0])};", text).replace("\r", "").replace("\n", "<br>")
