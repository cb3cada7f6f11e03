"""What every source's shop offers: a `Shop` is shared by all episodes, a `World` belongs to one."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tau_retail_env.chat.messages import ToolCall
from tau_retail_env.errors import unknown
from tau_retail_env.tasks.task import Task

Changes = Mapping[tuple[str, str], str]
"""What an episode changed: (table, id) -> the entry in upstream's canonical form."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool answered."""

    content: str
    """Upstream's own text, as the agent sees it."""
    error: bool
    """Whether upstream counts the call as failed."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When upstream ends an episode that nobody stopped."""

    max_steps: int
    """Messages and batches of tool results, counted as upstream's orchestrator does."""
    max_errors: int
    """Failed tool calls, cumulative."""


class World(Protocol):
    """The shop's database during one episode, and the tools that read and change it."""

    def call(self, call: ToolCall) -> ToolResult:
        """Run one tool call of the agent; whatever goes wrong inside becomes the result's text."""
        ...

    def changes(self) -> Changes:
        """What differs now from the shop as it was."""
        ...


class Shop(Protocol):
    """One source's shop: everything that its episodes share, never changed by any of them."""

    @property
    def domain_policy(self) -> str:
        """The rules the agent must follow, upstream's text."""
        ...

    @property
    def tools(self) -> Sequence[Mapping[str, Any]]:
        """The agent's tools as OpenAI schemas, in upstream's order."""
        ...

    @property
    def greeting(self) -> str | None:
        """The agent's fixed first message, None where upstream has none."""
        ...

    @property
    def limits(self) -> Limits:
        """Upstream's own limits."""
        ...

    @property
    def database(self) -> Mapping[str, Any]:
        """The database as plain JSON, for those who only read: {"users", "orders", "products"}."""
        ...

    def open(self) -> World:
        """A fresh world for one episode."""
        ...

    def gold_changes(self, task: Task) -> Changes:
        """What the task's gold actions change, computed once a task."""
        ...


SOURCES_OF_TAU2 = ("tau2", "generated")


@functools.cache
def open_shop(source: str) -> Shop:
    """The shop of a task source; one per process, shared by its episodes and threads.

    Args:
        source: "tau2", or "generated" (whose tasks live in τ²'s shop).

    Raises:
        InvalidValueError: unknown source.
        MissingDependencyError: upstream's package, or one that it imports, is not installed.
    """
    if source not in SOURCES_OF_TAU2:
        raise unknown("source", source, SOURCES_OF_TAU2)
    if source != "tau2":
        return open_shop("tau2")
    from tau_retail_env.world.tau2 import Tau2Shop

    return Tau2Shop()
