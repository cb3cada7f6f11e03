"""What an assertion is judged by: the conversation, and the agent's calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tau_retail_env.messages import ToolCall
from tau_retail_env.tasks.task import Task
from tau_retail_env.world.shop import Shop


@dataclass(frozen=True, slots=True)
class Said:
    """One message of a conversation."""

    role: str
    """"assistant" (the agent), "user" (the customer) or "tool"."""
    content: str | None
    """Its text; None for a message that only calls tools."""
    agrees: bool | None = None
    """Whether the customer says that it agrees with it; None where its words are all there is."""


@dataclass(frozen=True, slots=True)
class Called:
    """One tool call of the agent's, and how it went."""

    call: ToolCall
    """Name and arguments."""
    failed: bool
    """Whether the shop refused it."""


@dataclass(slots=True)
class Evidence:
    """What an assertion is judged by."""

    conversation: list[Said] = field(default_factory=list)
    """All messages in order, the agent's greeting included."""
    calls: list[Called] = field(default_factory=list)
    """The agent's tool calls in order."""
    gold: Callable[[], Sequence[Called]] = tuple
    """Plays the gold actions in a fresh shop and returns how they go; called only where a deed is judged."""


def play_gold(shop: Shop, task: Task) -> list[Called]:
    """Play a task's gold actions in a fresh world.

    Args:
        shop: where.
        task: whose.
    """
    world = shop.open()
    calls = [(ToolCall(action.name, action.arguments), action.requestor) for action in task.actions]
    return [Called(call, world.call(call, requestor=requestor).error) for call, requestor in calls]
