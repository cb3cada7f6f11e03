"""Driving the environment with an API model: its replies as messages, and the history to send, as upstream sends it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tau_retail_env.chat.api import agent_message
from tau_retail_env.sources import get_source
from tau_retail_env.sources.base import JsonObject

__all__ = ["ApiHistory", "agent_message"]


class ApiHistory:
    """The messages of one episode so far, as upstream's own agent sends them to its model.

    For v1 that is its ToolCallingAgent, for τ²'s shop its LLMAgent. They differ in which of several calls they keep,
    how a call's arguments are written, and what a tool's result carries. Where upstream's agent would crash, the
    message stands as the model wrote it, followed by the environment's error text.

    Args:
        info: what `env.reset` returned.
    """

    def __init__(self, info: Mapping[str, Any]) -> None:
        self._source = get_source(info["source"])
        self.tools = list(info["tools"])
        self.messages = [{"role": "system", "content": info["system_prompt"]}]
        self.messages += [self._source.agent_history(message) for message in info["messages"]]

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
        self.messages.append(self._source.agent_message(reply, calls))
        if not results:
            self.messages.extend(dict(message) for message in heard)
        for call, content in zip(calls, results, strict=False):
            self.messages.append(self._source.agent_tool_result(call, content))
