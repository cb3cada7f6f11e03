"""Driving the environment with an API model: its replies as messages, and the history to send, as upstream sends it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from tau_retail_env.messages import AgentMessage, ToolCall

JsonObject = dict[str, Any]


def agent_message(reply: Mapping[str, Any]) -> AgentMessage:
    """Read the message of an API model; whatever is wrong with it is for `env.step` to answer, never an error here.

    Args:
        reply: an assistant message of the OpenAI chat format: `content`, `tool_calls` with their arguments as JSON
            text. An object of the openai package is given as its `model_dump()`.

    Returns:
        The message. Arguments that are not the JSON text of an object stay as they are, which `env.step` refuses as
        malformed.
    """
    content = reply.get("content")
    calls = (_tool_call(call) for call in reply.get("tool_calls") or ())
    return AgentMessage(content if isinstance(content, str) else None, tuple(calls))


class ApiHistory:
    """The messages of one episode so far, as upstream's own agent sends them to its model.

    For v1 that is its ToolCallingAgent, for τ²'s shop its LLMAgent. They differ in which of several calls they keep,
    how a call's arguments are written, and what a tool's result carries. Where upstream's agent would crash, the
    message stands as the model wrote it, followed by the environment's error text.

    Args:
        info: what `env.reset` returned.
    """

    def __init__(self, info: Mapping[str, Any]) -> None:
        self._is_v1 = info["source"] == "tau_bench"
        self.tools = list(info["tools"])
        self.messages = [{"role": "system", "content": info["system_prompt"]}]
        for message in info["messages"]:
            is_plain = self._is_v1 or message["role"] != "assistant"
            self.messages.append(dict(message) if is_plain else _tau2_assistant(message, []))

    messages: list[JsonObject]
    """What to send as `messages`; grows by `add`."""
    tools: list[Mapping[str, Any]]
    """What to send as `tools`."""

    def add(self, reply: Mapping[str, Any], info: Mapping[str, Any]) -> None:
        """Append one turn.

        Args:
            reply: the model's message, as `agent_message` takes it.
            info: what `env.step` returned for it.
        """
        heard: Sequence[Mapping[str, Any]] = info["messages"]
        results = [message["content"] for message in heard if message["role"] == "tool"]
        calls = list(reply.get("tool_calls") or ())
        if results:
            calls = calls[: len(results)]
        if self._is_v1:
            self.messages.append(_v1_assistant(reply, calls))
        else:
            self.messages.append(_tau2_assistant(reply, calls))
        if not results:
            self.messages.extend(dict(message) for message in heard)
        for call, content in zip(calls, results, strict=False):
            self.messages.append(_v1_result(call, content) if self._is_v1 else _tau2_result(call, content))


def _v1_assistant(reply: Mapping[str, Any], calls: list[Mapping[str, Any]]) -> JsonObject:
    return {**reply, **({"tool_calls": calls} if calls else {"content": reply.get("content") or ""})}


def _v1_result(call: Mapping[str, Any], content: str) -> JsonObject:
    return {"role": "tool", "tool_call_id": call.get("id"), "name": _tool_call(call).name, "content": content}


def _tau2_assistant(reply: Mapping[str, Any], calls: list[Mapping[str, Any]]) -> JsonObject:
    content = reply.get("content")
    return {
        "role": "assistant",
        "content": content if calls else content or "",
        "tool_calls": [_tau2_call(call) for call in calls] or None,
    }


def _tau2_call(call: Mapping[str, Any]) -> JsonObject:
    read = _tool_call(call)
    arguments = json.dumps(read.arguments) if isinstance(read.arguments, dict) else read.arguments
    return {
        "id": read.id,
        "name": read.name,
        "function": {"name": read.name, "arguments": arguments},
        "type": "function",
    }


def _tau2_result(call: Mapping[str, Any], content: str) -> JsonObject:
    return {"role": "tool", "content": content, "tool_call_id": _tool_call(call).id}


def _tool_call(call: Mapping[str, Any]) -> ToolCall:
    function = call.get("function") or {}
    return ToolCall(function.get("name") or "", _arguments(function.get("arguments")), call.get("id") or "")


def _arguments(given: Any) -> Mapping[str, Any]:
    """The object that a JSON text holds; what is none comes back as it is, under a type that it has not."""
    if not isinstance(given, str):
        return cast(Mapping[str, Any], given)
    try:
        parsed = json.loads(given)
    except (ValueError, RecursionError):
        return cast(Mapping[str, Any], given)
    return parsed if isinstance(parsed, dict) else cast(Mapping[str, Any], given)
