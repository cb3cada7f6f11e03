"""Which reward an agent is trained on: the block `reward` of a configuration; apart, because blocks need pydantic."""

from __future__ import annotations

from typing import Any, Literal, Self

from tau_retail_env.blocks import Block
from tau_retail_env.blocks.reading import read
from tau_retail_env.messages import RewardBreakdown


class RewardSettings(Block):
    """Which number an agent is trained on; every result has all three, whichever it is."""

    kind: Literal["official", "corrected"] = "official"
    """official: upstream's of the task's version, exactly; corrected: the same after the named corrections."""
    require_process: bool = False
    """Whether the reward is 0 where a process check fails."""

    @classmethod
    def of(cls, given: Any) -> Self:
        """What a user gives: such settings, a mapping, or None for upstream's reward.

        Raises:
            InvalidValueError: an unknown key or value.
        """
        return given if isinstance(given, cls) else read(cls, {} if given is None else given, path="reward")

    def chosen(self, breakdown: RewardBreakdown) -> float:
        """The reward that is asked for.

        Args:
            breakdown: of an episode that was judged.
        """
        value = breakdown["official"] if self.kind == "official" else breakdown["corrected"]
        return value if not self.require_process or breakdown["process"] == 1.0 else 0.0
