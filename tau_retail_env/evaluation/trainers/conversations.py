"""Played episodes as conversations to fine-tune on, in TRL's and in LLaMA-Factory's form."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.evaluation.failures import is_success
from tau_retail_env.evaluation.record import Episode
from tau_retail_env.evaluation.upstream.conversation import plain
from tau_retail_env.evaluation.upstream.tau2 import OTHER
from tau_retail_env.sources import get_source
from tau_retail_env.sources.prompts import show_tools

BETWEEN_RESULTS = "\n</tool_response>\n<tool_response>\n"
"""What LLaMA-Factory puts between the results of several calls of one message."""
HEARD = {"user": "human", "tool": "observation"}
"""LLaMA-Factory's names of those whom the agent hears."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Conversation:
    """An episode to learn from; it ends with the agent's last message."""

    task_id: str
    """What was asked."""
    split: str
    """The split of the task."""
    trial: int
    """Which of its trials."""
    messages: Sequence[Mapping[str, Any]]
    """OpenAI messages, the system prompt first; the arguments of calls are objects, not text."""
    tools: Sequence[Mapping[str, Any]]
    """OpenAI schemas for the chat template; none where the system prompt lists the tools."""


def conversations_of(episodes: Iterable[Episode], prompt_style: str) -> Iterator[Conversation | None]:
    """What can be learnt from each episode.

    Thoughts, and turns that the environment refused, are left out.

    Args:
        episodes: of any agent.
        prompt_style: how the domain policy and the tools were shown.

    Returns:
        For each episode its conversation; None for one that failed, or in which the agent did nothing.

    Raises:
        InvalidValueError: unknown prompt style, or an episode of another domain, whose tools are not here.
        MissingDependencyError: the source of an episode is not installed.
    """
    is_shown = show_tools(prompt_style)
    for episode in episodes:
        one = episode.trajectory
        is_kept = one.scorable and is_success(one.reward_breakdown.get("official", one.reward))
        messages = [_with_objects(message) for message in plain(one.messages)[0]] if is_kept else []
        while messages and messages[-1]["role"] != "assistant":
            messages.pop()
        if not any(message["role"] == "user" for message in messages):
            yield None
            continue
        tools = _tools_of(one) if is_shown else ()
        yield Conversation(one.task_id, one.split, episode.trial, messages, tools)


def trl_row(conversation: Conversation) -> Row:
    """A row of TRL's conversational form: `messages` and `tools`."""
    return {
        "messages": list(conversation.messages),
        "tools": list(conversation.tools),
        "task_id": conversation.task_id,
        "trial": conversation.trial,
    }


def llama_factory_row(conversation: Conversation) -> Row | None:
    """A row of LLaMA-Factory's sharegpt form, in which customer or tools and agent take turns, the customer first.

    τ²'s greeting, with which its conversations open, has no place there and is left out.

    Returns:
        None where they do not take turns.
    """
    system = [message["content"] for message in conversation.messages if message["role"] == "system"]
    spoken: list[dict[str, str]] = []
    for message in conversation.messages:
        if message["role"] in HEARD:
            _hear(spoken, HEARD[message["role"]], message["content"])
        elif message["role"] == "assistant" and spoken:
            spoken.append(_said(message))
    if any((message["from"] in HEARD.values()) != (place % 2 == 0) for place, message in enumerate(spoken)):
        return None
    return {
        "conversations": spoken,
        "system": system[0] if system else "",
        "tools": json.dumps(list(conversation.tools), ensure_ascii=False) if conversation.tools else "",
    }


def dataset_info(file_name: str) -> Row:
    """LLaMA-Factory's description of the file, for dataset_info.json.

    Args:
        file_name: of the file with the rows, in the same folder.
    """
    columns = {"messages": "conversations", "system": "system", "tools": "tools"}
    return {"tau_retail": {"file_name": file_name, "formatting": "sharegpt", "columns": columns}}


def _tools_of(trajectory: Trajectory) -> Sequence[Mapping[str, Any]]:
    """The tools that the agent of an episode had.

    Raises:
        InvalidValueError: an episode of a file of upstream's, of another domain than retail.
    """
    version = None if trajectory.task_version == OTHER else trajectory.task_version
    source = get_source(trajectory.source, version)
    place = trajectory.task_id.split("/")[1:-1]
    if place and place[0] not in source.splits():
        raise InvalidValueError(
            f"{trajectory.task_id} is a task of the domain {place[0]}, whose tools are not here: only conversations of "
            f"the domain {source.domain} can be converted"
        )
    return source.shop().tools


def _with_objects(message: Mapping[str, Any]) -> Row:
    """A message whose calls have objects as arguments, as chat templates want them, and whose content is a text."""
    row = {**message, "content": message["content"] or ""}
    if calls := message.get("tool_calls"):
        row["tool_calls"] = [
            {**call, "function": {**call["function"], "arguments": json.loads(call["function"]["arguments"])}}
            for call in calls
        ]
    return row


def _hear(spoken: list[dict[str, str]], who: str, content: str) -> None:
    if who == "observation" and spoken and spoken[-1]["from"] == who:
        spoken[-1]["value"] += BETWEEN_RESULTS + content
    else:
        spoken.append({"from": who, "value": content})


def _said(message: Mapping[str, Any]) -> dict[str, str]:
    """The agent's words, or its calls as JSON; of both the calls stand in tags after the words."""
    calls = [call["function"] for call in message.get("tool_calls", ())]
    if not calls:
        return {"from": "gpt", "value": message["content"]}
    written = json.dumps(calls[0] if len(calls) == 1 else calls, ensure_ascii=False)
    if message["content"]:
        written = f"{message['content']}\n<tool_call>{written}</tool_call>"
    return {"from": "function_call", "value": written}
