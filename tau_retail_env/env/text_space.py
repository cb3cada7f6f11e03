"""The space of all texts, for Gymnasium; importing this file needs gymnasium."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gymnasium.spaces import Text

from tau_retail_env.messages import AgentMessage

LONGEST_SAMPLE = 40
"""Characters of a text that is drawn at random."""


class AnyText(Text):
    """Any text whatsoever, and what else `step` takes; samples are short and of letters and digits."""

    def __init__(self) -> None:
        super().__init__(LONGEST_SAMPLE)

    def contains(self, x: Any) -> bool:
        """Whether it can be said; its length and its characters do not matter."""
        return isinstance(x, (str, AgentMessage, Mapping))
