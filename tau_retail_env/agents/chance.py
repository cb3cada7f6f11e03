"""An agent that calls tools at random: the floor for an agent that knows the tools and nothing else."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

from tau_retail_env.messages import AgentMessage, ToolCall

WORD = re.compile(r"[#\w@.+-]{3,}")
SAYINGS = ("How can I help you?", "Please give me your email, or your name and zip code.", "Done. Anything else?")
CALL_SHARE = 0.7
"""How often it calls a tool; else it says something."""
MOST_ITEMS = 3


class RandomAgent:
    """Calls tools at random, with words that it has heard as arguments.

    Args:
        seed: decides everything, together with what it hears.
    """

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)
        self._heard: list[str] = []
        self._tools: Sequence[Mapping[str, Any]] = ()

    def act(self, observation: str, info: Mapping[str, Any]) -> AgentMessage:
        """Say or call something."""
        self._tools = info.get("tools", self._tools)
        self._heard += WORD.findall(observation)
        if not self._tools or self._random.random() > CALL_SHARE:
            return AgentMessage(self._random.choice(SAYINGS))
        function = self._random.choice(self._tools)["function"]
        properties = function["parameters"].get("properties", {})
        arguments = {name: self._value(schema) for name, schema in properties.items()}
        return AgentMessage(None, (ToolCall(function["name"], arguments),))

    def _value(self, schema: Mapping[str, Any]) -> Any:
        if choices := schema.get("enum"):
            return self._random.choice(choices)
        if schema.get("type") == "array":
            return [self._word() for _ in range(self._random.randint(1, MOST_ITEMS))]
        if schema.get("type") in ("number", "integer"):
            return self._random.randint(0, 100)
        return self._word()

    def _word(self) -> str:
        return self._random.choice(self._heard) if self._heard else json.dumps(None)
