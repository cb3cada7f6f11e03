"""An agent's messages as τ²'s LLMAgent sends them to its model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tau_retail_env.chat.api import tool_call_of
from tau_retail_env.sources.base import JsonObject


def assistant_message(reply: Mapping[str, Any], calls: Sequence[Mapping[str, Any]]) -> JsonObject:
    """The agent's own message: its arguments are written anew, and `tool_calls` is null where there is none."""
    content = reply.get("content")
    return {
        "role": "assistant",
        "content": content if calls else content or "",
        "tool_calls": [_call(call) for call in calls] or None,
    }


def tool_result(call: Mapping[str, Any], content: str) -> JsonObject:
    """A tool's result."""
    return {"role": "tool", "content": content, "tool_call_id": tool_call_of(call).id}


def _call(call: Mapping[str, Any]) -> JsonObject:
    read = tool_call_of(call)
    arguments = json.dumps(read.arguments) if isinstance(read.arguments, dict) else read.arguments
    return {
        "id": read.id,
        "name": read.name,
        "function": {"name": read.name, "arguments": arguments},
        "type": "function",
    }
