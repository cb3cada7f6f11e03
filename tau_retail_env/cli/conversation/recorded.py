"""A conversation as it was recorded; nothing is played."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from tau_retail_env.cli.conversation.screen import Screen
from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.evaluation.record import read_episodes
from tau_retail_env.evaluation.sides import episodes_of
from tau_retail_env.messages import AgentMessage, ToolCall


def show_recorded(name: str, task_id: str, seed: int, *, out: TextIO | None = None) -> int:
    """Show every recorded episode of a task and seed.

    Args:
        name: an evaluation's folder, a run's (its last validation; `FOLDER@STEP` for another), or a file of either.
        task_id: the task.
        seed: the seed of the environment.
        out: where to show; None for standard output.

    Returns:
        How many there were.

    Raises:
        InvalidValueError: there is nothing of these, or it holds something else.
    """
    found = [one for one in _recorded(name) if (one.task_id, one.seed) == (task_id, seed)]
    screen = Screen(None, out)
    for trajectory in found:
        _show(trajectory, screen)
    return len(found)


def list_recorded(name: str) -> Iterator[str]:
    """A line for every recorded episode: task and seed as `show_recorded` takes them, reward and end.

    Args:
        name: as `show_recorded` takes it.

    Raises:
        InvalidValueError: as in `show_recorded`.
    """
    for one in _recorded(name):
        reward = f"reward {one.reward}" if one.scorable else "not scored"
        yield f"--task {one.task_id} --seed {one.seed}: {reward}, {one.stop_reason}"


def _recorded(name: str) -> Iterator[Trajectory]:
    path = Path(name)
    is_ours = path.is_file() and path.suffix != ".json"
    return (episode.trajectory for episode in (read_episodes(path) if is_ours else episodes_of(name)))


def _show(trajectory: Trajectory, screen: Screen) -> None:
    who = f", customer {trajectory.user_strategy}" if trajectory.user_strategy else ""
    screen.say(f"Task {trajectory.task_id}, seed {trajectory.seed}{who}. Recorded.", "dim")
    for message in trajectory.messages:
        if calls := message.get("tool_calls"):
            screen.show_agent(AgentMessage(message["content"], tuple(_call(call["function"]) for call in calls)))
        elif message["role"] != "system":
            screen.show([message], agent="agent")
    told = ("stop_reason", "scorable", "reward_breakdown", "customer_error")
    screen.show_end(trajectory.task_id, trajectory.reward, {name: getattr(trajectory, name) for name in told})


def _call(function: Mapping[str, Any]) -> ToolCall:
    return ToolCall(function["name"], json.loads(function["arguments"]))
