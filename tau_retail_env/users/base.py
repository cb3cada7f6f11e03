"""What every user simulator keeps to: its two methods, its messages, its failures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from tau_retail_env.errors import TauRetailError
from tau_retail_env.messages import AgentMessage, ToolCall
from tau_retail_env.tasks.task import Task

STOP = "###STOP###"
TRANSFER = "###TRANSFER###"
OUT_OF_SCOPE = "###OUT-OF-SCOPE###"


class UserStrategy(StrEnum):
    """Who plays the customer."""

    SCRIPTED = "scripted"
    """Our own, offline."""
    LLM = "llm"
    """A model behind an API writes each message, as upstream's of this name do; so do the next three."""
    REACT = "react"
    """It writes down a thought first."""
    VERIFY = "verify"
    """It judges its message, and writes another one where that fails."""
    REFLECTION = "reflection"
    """The same, with what was wrong written down in between."""
    HUMAN = "human"
    """A person at the terminal."""


class UserError(TauRetailError):
    """The customer could not answer, through no fault of the agent: the episode must not be scored.

    Args:
        message: why.
        usage: what the failed attempt took, as in `UserMessage.usage`.
    """

    def __init__(self, message: str, *, usage: Mapping[str, float] | None = None) -> None:
        super().__init__(message)
        self.usage = usage


@dataclass(frozen=True, slots=True)
class UserMessage:
    """One message of the customer."""

    content: str
    """What the customer says; may hold a stop token, as upstream's simulators write it."""
    tool_calls: tuple[ToolCall, ...] = ()
    """Calls of the customer's own tools; none in retail."""
    stop: str | None = None
    """The stop token that ends the episode with this message, or None."""
    usage: Mapping[str, float] | None = None
    """Tokens and cost of an API customer, None where nothing was paid."""
    agrees: bool | None = None
    """Whether it says yes to what the agent proposes; None where only the words tell."""


class UserSimulator(Protocol):
    """Who plays the customer in one episode after another."""

    def reset(self, task: Task, *, seed: int) -> UserMessage:
        """Begin an episode and say the first words (the answer to the agent's greeting).

        Args:
            task: what the customer wants.
            seed: decides the wording and nothing else.

        Raises:
            UserError: when there is no answer.
        """
        ...

    def respond(self, message: AgentMessage) -> UserMessage:
        """Answer the agent's text.

        Args:
            message: what the agent said; its `content` is not empty, tool calls are never shown.

        Raises:
            UserError: when there is no answer.
        """
        ...
