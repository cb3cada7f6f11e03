"""The oracle as the model behind a server that speaks OpenAI's chat API."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import Any

from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.tasks import Task
from tests.users.llm.server import Request


class ServedOracle:
    """`reply` for a `ChatServer`; each conversation has an oracle of its own, found by the customer's first words.

    Args:
        tasks: what may be asked for.
        first_words: by task id, how its customer begins.
    """

    def __init__(self, tasks: Sequence[Task], first_words: dict[str, str]) -> None:
        self._tasks = {first_words[task.id]: task for task in tasks}
        self._alone = threading.Lock()

    def __call__(self, request: Request) -> dict[str, Any]:
        """Play the conversation up to here again, and answer its last message."""
        with self._alone:
            heard = [one for one in request.messages if one["role"] in ("user", "tool")]
            oracle = OracleAgent(self._tasks[heard[0]["content"]])
            for message in heard:
                said = oracle.act(message["content"], {"role": message["role"]})
        calls = [
            {
                "id": f"call_{request.order}",
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(dict(call.arguments))},
            }
            for call in said.tool_calls
        ]
        return {"content": said.content} | ({"tool_calls": calls} if calls else {})
