"""The record of one episode, the same for both engines, with the version of its schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tau_retail_env.errors import InvalidValueError, member
from tau_retail_env.messages import RewardBreakdown, StopReason

SCHEMA_VERSION = 3
ADDED_IN: Mapping[int, frozenset[str]] = {
    2: frozenset({"user_strategy", "customer_usage", "customer_error"}),
    3: frozenset({"task_version"}),
}
"""Fields that a version of the schema brought; a record of an earlier version is read with their defaults."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """One episode: what was said, the tokens the model saw and produced, and how it was judged."""

    schema_version: int = SCHEMA_VERSION
    """Version of this list of fields and of what they mean."""
    task_id: str
    """The task, such as "tau2/12"."""
    source: str
    """Where the task comes from, such as "tau2"."""
    split: str
    """The split the task was loaded from; empty if the episode failed before its environment said so."""
    task_version: str | None = None
    """The edition of the source's tasks, such as "0.2" of tau2; None for a source that has none, and in records of
    versions 1 and 2."""
    seed: int
    """Seed of the environment: the customer's wording."""
    sampling_seed: int
    """Seed of the model's draws; siblings of a group differ in it."""
    group: int
    """Number of the group of siblings that this episode is compared with."""
    tag: str
    """Name of the environment block that the episode was played for; empty if there is none."""
    messages: tuple[Mapping[str, Any], ...]
    """The whole conversation as OpenAI messages, system prompt first. What a model said stands as its own text (tool
    calls in hermes form, in the content); a message with calls in another format, and what an agent gave as an
    `AgentMessage`, has `tool_calls`."""
    token_ids: tuple[int, ...] = ()
    """Exactly the tokens that the model saw and produced, in order; empty where no tokenizer took part, or the
    customer failed before the first word."""
    response_mask: tuple[int, ...] = ()
    """One number per token: 1 on the model's own tokens (its end-of-turn tokens included), else 0."""
    logprobs: tuple[float, ...] = ()
    """Log-probability of each token when it was drawn, 0.0 where the mask is 0; empty where an agent without a model
    played."""
    prompt_length: int = 0
    """How many of the tokens came before the model's first turn."""
    reward: float
    """Upstream's reward; 0.0 unless the customer ended the episode."""
    terminated: bool
    """Whether the customer ended the episode."""
    truncated: bool
    """Whether a limit, or a failure of the customer, ended it."""
    stop_reason: StopReason
    """Why it ended; may be given as its name, such as "user_stop"."""
    scorable: bool
    """False if the customer failed or the run was stopped: then the reward says nothing about the agent."""
    user_strategy: str = ""
    """Who played the customer, of a mixture the one drawn; empty in records of version 1."""
    customer_usage: tuple[Mapping[str, float], ...] = ()
    """What each message of the customer took, in order, as in `UserMessage.usage` (`latency_s`, `prompt_tokens`,
    `completion_tokens`, `cost_usd`, `calls`, `retries` …), failed attempts included; empty where none is
    reported."""
    customer_error: str = ""
    """Why the customer failed; empty where it did not."""
    reward_breakdown: RewardBreakdown = field(default_factory=RewardBreakdown)
    """What the reward is made of; empty where the episode was not judged."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """The environment's metrics over the whole episode, and the player's: `turns` (messages of the agent),
    `response_tokens` (the model's own), `cut_turns` (turns that the model did not end itself)."""
    timings: Mapping[str, float] = field(default_factory=dict)
    """Wall-clock seconds, the only part that differs when the episode is played again: `environment_s` (this episode's
    own reset and steps), `generation_s` (of the batches it took part in, so not to be added up over a batch)."""
    policy_version: int | None = None
    """Training step of the model that played, None if unknown."""

    def __post_init__(self) -> None:
        """Refuse a record whose parts do not fit together."""
        reason = member(f"stop_reason of a trajectory of {self.task_id}", self.stop_reason, StopReason)
        object.__setattr__(self, "stop_reason", reason)
        tokens = len(self.token_ids)
        if len(self.response_mask) != tokens or len(self.logprobs) not in (0, tokens):
            raise InvalidValueError(
                f"Trajectory of {self.task_id} has {tokens} token_ids, {len(self.response_mask)} in response_mask and "
                f"{len(self.logprobs)} logprobs; there must be equally many (or no logprobs)"
            )
