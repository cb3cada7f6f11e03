"""What kind of error a failed tool call is, from the call and the tools' schemas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tau_retail_env.messages import ToolCall

KINDS = ("unknown_tool", "wrong_arguments", "refused")
"""No such tool; an argument is missing or unknown; the shop itself says no (no such order, not allowed now …)."""


def error_kind(call: ToolCall, tools: Sequence[Mapping[str, Any]]) -> str:
    """The kind of a call that failed.

    Args:
        call: the call.
        tools: OpenAI schemas of the tools there are.

    Returns:
        One of `KINDS`.
    """
    functions = (tool["function"] for tool in tools)
    schema = next((one.get("parameters", {}) for one in functions if one["name"] == call.name), None)
    if schema is None:
        return "unknown_tool"
    missing = set(schema.get("required", ())) - call.arguments.keys()
    extra = call.arguments.keys() - schema.get("properties", {}).keys()
    return "wrong_arguments" if missing or extra else "refused"
