"""A conversation of ours as upstream's files have one: calls with ids, every result after its call, no refused turn."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tau_retail_env.chat.parsing import MalformedMessageError, parse_message
from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.errors import InvalidValueError, MissingDependencyError
from tau_retail_env.messages import AgentMessage, ToolCall
from tau_retail_env.sources import get_source, load_tasks
from tau_retail_env.sources.registry import source_of
from tau_retail_env.tasks import Task
from tau_retail_env.world import World, verdict
from tau_retail_env.world.assertions import Called, Evidence, RulesJudge, Said, play_gold
from tau_retail_env.world.reward import Reward

Message = dict[str, Any]
SEVERAL_CALLS = "one tool call at a time"
"""How the environment's refusal of several calls begins, after "Error: "."""
VERSIONED = "tau2"
"""The source whose tasks have editions."""
SPEAKING_TOOL = "respond"
"""τ-bench v1's name for a message to the customer."""


def plain(messages: Sequence[Mapping[str, Any]]) -> tuple[list[Message], int]:
    """The conversation without the turns that the environment refused, of which upstream knows nothing.

    Args:
        messages: a trajectory's.

    Returns:
        OpenAI messages: tool calls with ids that are unique within the conversation, as many as were run, each result
        with its call's; and how many turns were left out. Text and calls are separated, thoughts left out.
    """
    found: list[Message] = []
    refused = 0
    for message, heard in _turns(messages):
        if message is None:
            found += heard
            continue
        said = _read(message)
        if said is None or _is_refusal(said, heard):
            refused += 1
            continue
        results = [one for one in heard if one["role"] == "tool"]
        calls = said.tool_calls[: len(results)]
        content = said.content
        if said.tool_calls and not results and said.tool_calls[0].name == SPEAKING_TOOL:
            content = said.tool_calls[0].arguments.get("content")
        if not calls and not content:
            continue
        ids = [f"call_{len(found)}_{number}" for number in range(len(calls))]
        found.append(_assistant(content, calls, ids))
        pairs = zip(ids, calls, results, strict=True)
        found += [_result(call_id, call.name, result) for call_id, call, result in pairs]
        found += [dict(one) for one in heard if one["role"] != "tool"]
    return found, refused


def misfit(error: Exception) -> str:
    """Why an object is none of upstream's, in words for a person.

    Args:
        error: what reading it has raised.
    """
    if isinstance(error, KeyError):
        return f"{error.args[0]!r} is missing"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, (TypeError, AttributeError)):
        return "a part of it is of another kind than upstream's"
    return str(error)


def judge_again(trajectory: Trajectory, task: Task) -> Reward:
    """Play a conversation's tool calls again on a fresh shop and judge it in all three numbers, whoever played it.

    Args:
        trajectory: a conversation that the customer or the agent ended; of another the reward is 0 by both upstreams'
            rule, which is the caller's to heed.
        task: what was asked, of any version; its assertions are judged by rules.
    """
    world, evidence, spoken = play_again(trajectory, task)
    unmet = RulesJudge().unmet(task, evidence) if "NL_ASSERTION" in task.reward_basis else None
    return verdict(source_of(task).shop(), task, world, evidence, spoken, unmet)


def play_again(trajectory: Trajectory, task: Task) -> tuple[World, Evidence, list[str]]:
    """Play a conversation's tool calls again on a fresh shop.

    Args:
        trajectory: whoever played it.
        task: what was asked, of any version.

    Returns:
        The shop as the calls leave it, all that was said and called, and the agent's texts in upstream's sense of what
        counts as said.
    """
    shop = source_of(task).shop()
    world, evidence = shop.open(), Evidence()
    spoken: list[str] = []
    for message in plain(trajectory.messages)[0]:
        if message["role"] not in ("assistant", "user"):
            continue
        evidence.conversation.append(Said(message["role"], message["content"]))
        calls = message.get("tool_calls", ())
        is_heard = message["role"] == "assistant" and (not calls or shop.episode_rules.hears_text_beside_calls)
        if is_heard and message["content"]:
            spoken.append(message["content"])
        for one in calls:
            call = ToolCall(one["function"]["name"], json.loads(one["function"]["arguments"]))
            result = world.call(call)
            evidence.calls.append(Called(call, result.error))
            evidence.conversation.append(Said("tool", result.content))
    evidence.gold = lambda: play_gold(shop, task)
    return world, evidence, spoken


def judged_again(trajectories: Iterable[Trajectory], task_version: str | None = None) -> Iterator[Trajectory]:
    """Trajectories with this package's verdict in place of the file's; the customer's or a limit's end stays.

    Args:
        trajectories: whose tasks of the domain retail are here.
        task_version: whose tasks judge; None for those that each episode names.

    Raises:
        InvalidValueError: a task that is not here, or an unknown version.
    """
    if task_version is not None:
        get_source(VERSIONED, task_version)
    tasks = TasksOfEpisodes()
    for episode in trajectories:
        one = episode if task_version is None else replace(episode, task_version=str(task_version))
        if (task := tasks.of(one)) is None:
            version = f" of version {one.task_version}" if one.task_version else ""
            raise InvalidValueError(f"The task {one.task_id}{version} is not here: it cannot be judged")
        if not one.terminated:
            yield replace(one, reward=0.0, reward_breakdown={})
            continue
        judged = judge_again(one, task)
        yield replace(one, reward=judged.value, reward_breakdown=judged.breakdown)


def known_tasks(ids: Iterable[str], version: str | None = None) -> dict[str, Task]:
    """The tasks of some ids, as far as their sources are here.

    Args:
        ids: of any sources.
        version: which edition of τ²'s tasks; None for the default.
    """
    wanted, found = set(ids), dict[str, Task]()
    for source, split in sorted({_place(task_id) for task_id in wanted}):
        try:
            tasks = load_tasks(source, split, task_version=version if source == VERSIONED else None)
        except (InvalidValueError, MissingDependencyError):
            continue
        found |= {task.id: task for task in tasks if task.id in wanted}
    return found


class TasksOfEpisodes:
    """The tasks that episodes were played on, each looked up once; None for one that is not here."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str | None], Task | None] = {}

    def of(self, trajectory: Trajectory) -> Task | None:
        """The task of an episode, in the edition that its record names."""
        key = trajectory.task_id, trajectory.task_version
        if key not in self._known:
            self._known[key] = known_tasks([key[0]], key[1]).get(key[0])
        return self._known[key]


def _place(task_id: str) -> tuple[str, str]:
    """The source of an id, and a split that has it: τ²'s ids name none, and all are in base."""
    source, *rest = task_id.split("/")
    return source, rest[0] if len(rest) > 1 else "base"


def _turns(messages: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any] | None, list[Message]]]:
    """Each message of the agent with what it heard next; before the first None with the opening."""
    said: Mapping[str, Any] | None = None
    heard: list[Message] = []
    for message in messages:
        if message["role"] == "assistant":
            if said is not None or heard:
                yield said, heard
            said, heard = message, []
        else:
            heard.append(dict(message))
    if said is not None or heard:
        yield said, heard


def _read(message: Mapping[str, Any]) -> AgentMessage | None:
    """What the agent meant; None where it cannot be read."""
    if not message.get("tool_calls"):
        try:
            return parse_message(message.get("content") or "")
        except MalformedMessageError:
            return None
    calls = []
    for call in message["tool_calls"]:
        function = call["function"]
        try:
            arguments = json.loads(function["arguments"])
        except (TypeError, ValueError, RecursionError):
            return None
        if not isinstance(arguments, dict):
            return None
        calls.append(ToolCall(function["name"], arguments, call.get("id") or ""))
    return AgentMessage(message.get("content"), tuple(calls))


def _is_refusal(said: AgentMessage, heard: Sequence[Message]) -> bool:
    """Whether the environment refused several calls at once."""
    return len(said.tool_calls) > 1 and bool(heard) and SEVERAL_CALLS in heard[0]["content"]


def _assistant(content: str | None, calls: Sequence[ToolCall], ids: Sequence[str]) -> Message:
    message: Message = {"role": "assistant", "content": content or None}
    if calls:
        message["tool_calls"] = [
            {
                "id": call_id,
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(dict(call.arguments), ensure_ascii=False)},
            }
            for call_id, call in zip(ids, calls, strict=True)
        ]
    return message


def _result(call_id: str, name: str, result: Message) -> Message:
    return {"role": "tool", "tool_call_id": call_id, "name": name, "content": result["content"]}
