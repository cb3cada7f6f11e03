"""Reading the messages of an API model: OpenAI's chat format, in which a call's arguments are JSON text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from tau_retail_env.messages import AgentMessage, ToolCall


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
    calls = (tool_call_of(call) for call in reply.get("tool_calls") or ())
    return AgentMessage(content if isinstance(content, str) else None, tuple(calls))


def tool_call_of(call: Mapping[str, Any]) -> ToolCall:
    """Read one tool call as the server sent it; arguments that are no object stay as they are."""
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
