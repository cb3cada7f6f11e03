"""What every source's shop offers: a `Shop` is shared by all episodes, a `World` belongs to one."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tau_retail_env.messages import ToolCall
from tau_retail_env.tasks.task import Action, Task

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
class EpisodeRules:
    """Upstream's rules of an episode: who speaks first, what ends it, what is heard."""

    greeting: str | None
    """The agent's fixed first message, None where the customer speaks first."""
    stop_tokens: tuple[str, ...]
    """What ends the episode wherever it stands in a message of the customer's."""
    ending_tools: frozenset[str] = frozenset()
    """Tools that end the episode when they are called, even if the call fails."""
    runs_every_call: bool = True
    """Whether all tool calls of one message run, in order, or the first alone."""
    hears_text_beside_calls: bool = True
    """Whether text beside a tool call can tell an output; the customer never sees it."""
    speaking_tool: str | None = None
    """A tool name that means the message in its argument `content`, None where there is none."""
    max_turns: int | None = None
    """Agent messages; the last one may still end the episode."""
    max_steps: int | None = None
    """Messages and batches of tool results, as τ²'s orchestrator counts them; reached, it wins over a stop."""
    max_errors: int | None = None
    """Failed tool calls, cumulative."""


class World(Protocol):
    """The shop's database during one episode, and the tools that read and change it."""

    def call(self, call: ToolCall, *, requestor: str = "assistant") -> ToolResult:
        """Run one tool call of the agent or the customer; whatever goes wrong inside becomes the result's text."""
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
    def episode_rules(self) -> EpisodeRules:
        """Upstream's rules of an episode."""
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

    @property
    def corrected(self) -> Shop:
        """The same shop with the known errors of its tools corrected, for judging; itself where there are none."""
        ...

    def snapshot_digest(self) -> str:
        """A digest of the shared database; it stays the same for ever unless somebody breaks the rule above."""
        ...


class GoldChanges:
    """What the gold actions of a shop's tasks change, each computed once, by any thread.

    Args:
        shop: where they are played; its ending tools are left out.
    """

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._known: dict[str, tuple[tuple[Action, ...], Changes]] = {}
        self._lock = threading.Lock()

    def of(self, task: Task) -> Changes:
        """What a task's gold actions change; a call that fails changes nothing, as both upstreams have it."""
        known = self._known.get(task.id)
        # A task of one's own may have another's id, and other gold.
        if known is None or known[0] != task.actions:
            world = self._shop.open()
            for action in task.actions:
                if action.name not in self._shop.episode_rules.ending_tools:
                    world.call(ToolCall(action.name, action.arguments), requestor=action.requestor)
            known = task.actions, world.changes()
            with self._lock:
                self._known[task.id] = known
        return known[1]


def digest(text: str) -> str:
    """A digest of a canonical form."""
    return hashlib.sha256(text.encode()).hexdigest()
