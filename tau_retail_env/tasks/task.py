"""One customer request with its ground truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Action:
    """One gold tool call."""

    name: str
    """The tool's name, as upstream spells it."""
    arguments: Mapping[str, Any]
    """Keyword arguments, exactly as in the source."""
    requestor: str = "assistant"
    """Who calls the tool: "assistant" or "user" (τ² lets customers call tools of their own)."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """The instructions of upstream's user simulator; every field is None where the source has nothing."""

    persona: str | None = None
    reason_for_call: str | None = None
    known_info: str | None = None
    unknown_info: str | None = None
    task_instructions: str | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """One customer request with its ground truth: instruction, gold actions, outputs to communicate."""

    id: str
    """Unique within its source and version: "tau2/12", "tau_bench/train/3", "generated/train/7"."""
    source: str
    """Where it comes from: "tau2", "tau_bench", "generated", or a source of your own."""
    domain: str
    """"retail" for every task of this package today."""
    split: str
    """The split the task was loaded from, as the source names it."""
    instruction: str
    """The whole request in words, as an API customer gets it."""
    actions: tuple[Action, ...]
    """The gold actions in upstream's order."""
    outputs: tuple[str, ...] = ()
    """Strings that the agent must have said to the customer."""
    user_id: str | None = None
    """The customer's id in the shop, where the source or the gold actions tell it."""
    scenario: Scenario = field(default_factory=Scenario)
    """The parts of upstream's instructions for its user simulator."""
    initial_state: Any = None
    """Upstream's initial state, None for every retail task so far."""
    reward_basis: tuple[str, ...] = ("DB", "COMMUNICATE")
    """What upstream multiplies into the reward."""
    version: str | None = None
    """Which edition of the source's tasks, such as "0.2"; None for the default, or for a source that has none."""
    assertions: tuple[str, ...] = ()
    """What must hold of the conversation besides, in upstream's sentences; judged if `reward_basis` names
    NL_ASSERTION."""
    story: Mapping[str, Any] | None = None
    """What the scripted customer does, as a table of stories.toml has it, for a task that brings its own; else None."""
    labels: tuple[str, ...] = ()
    """What its source says of it: "easy", "medium" or "hard", then the kinds of its parts; empty for most sources."""
