"""What one episode holds between reset and its end, and the limits that end it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import index
from typing import SupportsIndex

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.messages import StopReason
from tau_retail_env.tasks import Task
from tau_retail_env.world import World
from tau_retail_env.world.assertions import Evidence
from tau_retail_env.world.shop import EpisodeRules
from tau_retail_env.world.tool_errors import KINDS

METRICS = {
    "turns": "sum",
    "tool_calls": "sum",
    "tool_errors": "sum",
    **{f"tool_errors_{kind}": "sum" for kind in KINDS},
    "malformed": "sum",
    "unparsed_calls": "sum",
    "transfers": "sum",
    "success": "last",
}
"""Every step's metrics and how they add up over an episode, in ROLL's names for ways of adding up."""


@dataclass
class Episode:
    """What one episode holds between reset and its end."""

    task: Task
    world: World
    spoken: list[str] = field(default_factory=list)
    """What the agent said, as far as outputs are looked for in it."""
    evidence: Evidence = field(default_factory=Evidence)
    """All that was said and called, for those who judge it."""
    turns: int = 0
    steps: int = 0
    errors: int = 0
    over: bool = False
    unreported_usage: list[Mapping[str, float]] = field(default_factory=list)
    """Tokens, seconds and cost of the user simulator since the last step; the first step also counts the opening."""


@dataclass(frozen=True)
class Limits:
    """When an episode is cut off.

    Raises:
        InvalidValueError: a limit that is no whole number from 1 on, nor None.
    """

    episode_rules: EpisodeRules
    """Upstream's own limits."""
    max_turns: int | None = None
    """Agent messages; None for upstream's own count."""
    max_errors: int | None = None
    """Failed tool calls; None for upstream's own."""

    def __post_init__(self) -> None:
        """Refuse what is no limit."""
        for name, limit in (("max_turns", self.max_turns), ("max_errors", self.max_errors)):
            if limit is not None and (not isinstance(limit, SupportsIndex) or index(limit) < 1):
                expected = "a whole number, at least 1, or None (upstream's own)"
                raise InvalidValueError(f"{name} must be {expected}, found {limit!r}")

    def upstreams(self, episode: Episode) -> StopReason | None:
        """τ²'s limits, errors before steps; they win even over a stop that arrives with the same message."""
        max_errors = self.max_errors or self.episode_rules.max_errors
        if max_errors is not None and episode.errors >= max_errors:
            return StopReason.TOO_MANY_ERRORS
        max_steps = self.episode_rules.max_steps
        if self.max_turns is None and max_steps is not None and episode.steps >= max_steps:
            return StopReason.MAX_STEPS
        return None

    def turns(self, episode: Episode) -> StopReason | None:
        """Limits of agent messages, which leave a stop that arrives with the last one its due: ours and v1's."""
        if self.max_turns is not None:
            return StopReason.MAX_TURNS if episode.turns >= self.max_turns else None
        limit = self.episode_rules.max_turns
        return StopReason.MAX_STEPS if limit is not None and episode.turns >= limit else None
