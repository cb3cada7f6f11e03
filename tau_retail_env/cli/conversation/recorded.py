"""A conversation as it was recorded; nothing is played."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from tau_retail_env.cli.catalogue import task_by_id
from tau_retail_env.cli.conversation.screen import Screen
from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.evaluation.record import read_episodes
from tau_retail_env.evaluation.sides import episodes_of
from tau_retail_env.messages import AgentMessage, ToolCall
from tau_retail_env.tasks.subsets import matching


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which recorded episodes are meant; None means any."""

    task_id: str | None = None
    seed: int | None = None
    """Of the environment."""
    outcome: str | None = None
    """"success", "failure" (scored, and not the whole reward) or "unscored"."""
    subset: str | None = None
    """An expression of the kinds of tasks, such as "returns+exchanges"."""

    def fits(self, one: Trajectory) -> bool:
        """Whether an episode is meant.

        Raises:
            InvalidValueError: an unknown kind, or a task whose kind nobody knows.
        """
        if self.task_id not in (None, one.task_id) or self.seed not in (None, one.seed):
            return False
        if self.outcome not in (None, outcome_of(one)):
            return False
        if self.subset is None:
            return True
        return bool(matching([task_by_id(one.task_id, one.source, one.task_version)], self.subset))


def outcome_of(one: Trajectory) -> str:
    """How an episode came out, in the words of `Wanted`."""
    if not one.scorable:
        return "unscored"
    return "success" if one.reward == 1.0 else "failure"


def show_recorded(name: str, wanted: Wanted, *, number: int | None = None, out: TextIO | None = None) -> int:
    """Show recorded episodes.

    Args:
        name: an evaluation's folder, a run's (its last validation; `FOLDER@STEP` for another), or a file of either.
        wanted: which.
        number: only the one with this number in `list_recorded`; None for all.
        out: where to show; None for standard output.

    Returns:
        How many there were.

    Raises:
        InvalidValueError: there is nothing of these, or it holds something else.
    """
    found = [one for place, one in _recorded(name, wanted) if number in (None, place)]
    screen = Screen(None, out)
    for trajectory in found:
        _show(trajectory, screen)
    return len(found)


def list_recorded(name: str, wanted: Wanted = Wanted()) -> Iterator[str]:
    """A line for every recorded episode: its number, task and seed as `tau-retail play` takes them, reward and end.

    Args:
        name: as `show_recorded` takes it.
        wanted: which.

    Raises:
        InvalidValueError: as in `show_recorded`.
    """
    for number, one in _recorded(name, wanted):
        reward = f"reward {one.reward}" if one.scorable else "not scored"
        yield f"{number:>4}  --task {one.task_id} --seed {one.seed}: {reward}, {one.stop_reason}"


def _recorded(name: str, wanted: Wanted) -> Iterator[tuple[int, Trajectory]]:
    """Those that are meant, numbered from 1."""
    path = Path(name)
    is_ours = path.is_file() and path.suffix != ".json"
    episodes = (episode.trajectory for episode in (read_episodes(path) if is_ours else episodes_of(name)))
    return enumerate(filter(wanted.fits, episodes), start=1)


def _show(trajectory: Trajectory, screen: Screen) -> None:
    who = f", customer {trajectory.user_strategy}" if trajectory.user_strategy else ""
    screen.say(f"Task {trajectory.task_id}, seed {trajectory.seed}{who}. Recorded.", "dim")
    for message in trajectory.messages:
        if calls := message.get("tool_calls"):
            for call in calls:
                _show_call(call["function"], screen)
        elif message["role"] != "system":
            screen.show([message], agent="agent")
    shown = ("stop_reason", "scorable", "reward_breakdown", "customer_error")
    screen.show_end(trajectory.task_id, trajectory.reward, {name: getattr(trajectory, name) for name in shown})


def _show_call(function: Mapping[str, Any], screen: Screen) -> None:
    """A call of the agent's; arguments that are no JSON object, which the environment refused, as they stand."""
    try:
        arguments = json.loads(function["arguments"])
    except (ValueError, RecursionError):
        arguments = None
    if isinstance(arguments, dict):
        screen.show_agent(AgentMessage(None, (ToolCall(function["name"], arguments),)))
    else:
        screen.say(f"agent calls {function['name']}({function['arguments']})", "dim")
