"""A conversation as it was recorded; nothing is played."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from tau_retail_env.cli.conversation.screen import Screen
from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.messages import AgentMessage, ToolCall
from tau_retail_env.runs.trajectories import read_trajectories


def show_recorded(path: Path, task_id: str, seed: int, *, out: TextIO | None = None) -> int:
    """Show every episode of a task and seed in a file of trajectories.

    Args:
        path: the file.
        task_id: the task.
        seed: the seed of the environment.
        out: where to show; None for standard output.

    Returns:
        How many there were.

    Raises:
        InvalidValueError: there is no such file, or it holds something else.
    """
    if path.is_dir():
        files = sorted(str(file.relative_to(path)) for file in path.rglob("*.jsonl") if file.name != "metrics.jsonl")
        inside = f"; in it are {', '.join(files[:5])}{', …' if len(files) > 5 else ''}" if files else ""
        raise InvalidValueError(f"--recorded: {path} is a folder, expected a file of conversations{inside}")
    if not path.is_file():
        raise InvalidValueError(f"--recorded: there is no file {path}")
    found = [one for one in read_trajectories(path) if (one.task_id, one.seed) == (task_id, seed)]
    screen = Screen(None, out)
    for trajectory in found:
        _show(trajectory, screen)
    return len(found)


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
