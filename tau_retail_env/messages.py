"""What an agent says: text and tool calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a tool."""

    name: str
    """The tool's name as the caller gave it; it need not exist."""
    arguments: Mapping[str, Any]
    """Keyword arguments as parsed from JSON, of any type."""
    id: str = ""
    """The caller's id for the call, echoed with its result; may be empty."""


@dataclass(frozen=True, slots=True)
class AgentMessage:
    """One message of the agent: text for the customer, tool calls, or both."""

    content: str | None = None
    """Text for the customer, None or empty where there is none."""
    tool_calls: tuple[ToolCall, ...] = ()
    """The calls in the order in which the agent made them."""
