"""Why a tool call failed, as far as the call and the tools' schemas tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tau_retail_env.chat.messages import ToolCall
from tau_retail_env.chat.parsing import MalformedMessageError, parse_message

KINDS = ("unknown_tool", "wrong_arguments", "refused")
"""No such tool; an argument is missing or unknown; the shop itself says no (no such order, not allowed now …)."""
ERRORS = ("Error", "Unknown action")
"""How upstreams begin the text of a failed call."""


def error_kinds(text: str, back: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Count the failed tool calls of one message by kind.

    Args:
        text: the actor's message.
        back: what came back, as OpenAI messages: one of role "tool" for each call that was run.
        tools: OpenAI schemas of the tools there are.

    Returns:
        `tool_errors_<kind>` for each of `KINDS`; all zero for a message that could not be parsed, as no tool ran.
    """
    counts = {f"tool_errors_{kind}": 0.0 for kind in KINDS}
    results = [message for message in back if message["role"] == "tool"]
    if not any(str(result["content"]).startswith(ERRORS) for result in results):
        return counts
    try:
        calls = parse_message(text).tool_calls
    except MalformedMessageError:
        return counts
    schemas = {tool["function"]["name"]: tool["function"].get("parameters", {}) for tool in tools}
    for call, result in zip(calls, results, strict=False):
        if str(result["content"]).startswith(ERRORS) and result.get("name") == call.name:
            counts[f"tool_errors_{_kind(call, schemas)}"] += 1.0
    return counts


def _kind(call: ToolCall, schemas: Mapping[str, Mapping[str, Any]]) -> str:
    if call.name not in schemas:
        return "unknown_tool"
    schema = schemas[call.name]
    missing = set(schema.get("required", ())) - call.arguments.keys()
    extra = call.arguments.keys() - schema.get("properties", {}).keys()
    return "wrong_arguments" if missing or extra else "refused"
