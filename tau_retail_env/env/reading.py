"""What an agent's message means: text in a format of tool calls, an `AgentMessage`, or a message in OpenAI's form."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from tau_retail_env.chat.api import agent_message
from tau_retail_env.chat.foreign_calls import holds_foreign_call
from tau_retail_env.chat.parsing import MalformedMessageError, check_message, parse_message
from tau_retail_env.chat.tool_formats import ToolFormat
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.messages import AgentMessage
from tau_retail_env.world.shop import Shop

Action = str | AgentMessage | Mapping[str, Any]
"""What `TauRetailEnv.step` takes."""


class MultipleCalls(StrEnum):
    """What happens to a message with several tool calls."""

    ERROR = "error"
    """None is run, and the agent reads why: both domain policies forbid it."""
    UPSTREAM = "upstream"
    """As upstream runs them: τ² all in order, τ-bench v1 the first."""


def unpacked(action: Action) -> str | AgentMessage:
    """A message as its text or as `AgentMessage`.

    Raises:
        InvalidValueError: it is no message at all.
    """
    if isinstance(action, (str, AgentMessage)):
        return action
    if isinstance(action, Mapping) and action.get("role", "assistant") == "assistant" and action.keys() & _SAYS:
        return agent_message(action)
    found = type(action).__name__
    if isinstance(action, Mapping):
        found = f"a mapping with role {action.get('role')!r} and the keys {', '.join(map(str, action))[:80]}"
    raise InvalidValueError(
        "step takes a model's text, an AgentMessage, or an assistant message in OpenAI's form "
        f'({{"role": "assistant", "content": …, "tool_calls": …}}), found {found}'
    )


_SAYS = frozenset(("content", "tool_calls"))
"""What a message in OpenAI's form says something by."""


def read(
    action: str | AgentMessage, tool_format: ToolFormat, multiple_calls: MultipleCalls, shop: Shop
) -> AgentMessage:
    """What the agent means.

    Args:
        action: as `unpacked` returns it.
        tool_format: how the calls in a text are written.
        multiple_calls: what several calls in one message mean.
        shop: whose tools are called.

    Raises:
        MalformedMessageError: it cannot be read, or holds several calls where that is an error.
    """
    message = parse_message(action, tool_format, shop.tools) if isinstance(action, str) else action
    if len(message.tool_calls) > 1:
        if multiple_calls is MultipleCalls.ERROR:
            raise MalformedMessageError("one tool call at a time, please; none of these was run")
        if not shop.episode_rules.runs_every_call:
            message = AgentMessage(message.content, message.tool_calls[:1])
    check_message(message)
    speaking_tool = shop.episode_rules.speaking_tool
    if message.tool_calls and message.tool_calls[0].name == speaking_tool:
        content = message.tool_calls[0].arguments.get("content")
        if not isinstance(content, str) or not content.strip():
            raise MalformedMessageError(f"{speaking_tool!r} needs a text for the customer in 'content'.")
        return AgentMessage(content)
    return message


def foreign_calls(text: str | None, tool_format: ToolFormat, shop: Shop) -> float:
    """1.0 where a text holds a call that an episode of this format does not read."""
    if not text:
        return 0.0
    return float(holds_foreign_call(text, tool_format, {tool["function"]["name"] for tool in shop.tools}))
