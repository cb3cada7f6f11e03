"""What every agent can do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from tau_retail_env.messages import AgentMessage


class Agent(Protocol):
    """Who serves the customer in one episode."""

    def act(self, observation: str, info: Mapping[str, Any]) -> AgentMessage | str:
        """Say or call the next thing.

        Args:
            observation: what `reset` or the last `step` returned.
            info: the info returned with it.
        """
        ...
