"""Messages as OpenAI's API carries them."""

from __future__ import annotations

import pytest

from tau_retail_env.chat.api import agent_message
from tau_retail_env.messages import AgentMessage, ToolCall


def reply(arguments: object) -> dict[str, object]:
    return {"content": None, "tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": arguments}}]}


def test_words_and_calls_are_taken_over() -> None:
    assert agent_message({"content": "Hello."}) == AgentMessage("Hello.")
    assert agent_message(reply('{"a": 1}')) == AgentMessage(None, (ToolCall("f", {"a": 1}, id="c1"),))
    assert agent_message(reply({"a": 1})) == AgentMessage(None, (ToolCall("f", {"a": 1}, id="c1"),))


@pytest.mark.parametrize("arguments", ["[1]", "{", "[" * 100_000, "3", None, 3])
def test_arguments_that_are_no_object_stay_as_they_are(arguments: object) -> None:
    (call,) = agent_message(reply(arguments)).tool_calls
    assert call.arguments == arguments
