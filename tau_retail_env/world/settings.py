"""Which reward an agent is trained on: the block `reward` of a configuration; apart, because blocks need pydantic."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field

from tau_retail_env.blocks import Block
from tau_retail_env.blocks.reading import read
from tau_retail_env.messages import RewardBreakdown


class RewardSettings(Block):
    """Which number an agent is trained on; every result has all three, whichever it is."""

    kind: Literal["official", "corrected"] = "official"
    """official: upstream's of the task's version, exactly; corrected: the same after the named corrections."""
    require_process: bool = False
    """Whether the reward is 0 where a process check fails."""
    partial: float = Field(0.0, ge=0)
    """Weight alpha of what was partly right: the reward is (task + alpha * partial) / (1 + alpha), so that a success
    earns 1 still; 0 leaves it out."""

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
        if self.require_process and breakdown["process"] != 1.0:
            return 0.0
        partly = 1.0 if value == 1.0 else breakdown["partial"]
        return (value + self.partial * partly) / (1 + self.partial)
