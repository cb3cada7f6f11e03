"""What is said in an episode, how it ends, and the info that an environment returns."""

# No `from __future__ import annotations` here: as strings, NotRequired keys would count as required at run time.

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NotRequired, TypedDict


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a tool."""

    name: str
    """The tool's name as the caller gave it; it need not exist."""
    arguments: Mapping[str, Any]
    """Keyword arguments as parsed from JSON, of any type."""
    id: str = ""
    """The caller's id for the call, echoed with its result; may be empty."""


@dataclass(frozen=True, slots=True)
class AgentMessage:
    """One message of the agent: text for the customer, tool calls, or both."""

    content: str | None = None
    """Text for the customer, None or empty where there is none."""
    tool_calls: tuple[ToolCall, ...] = ()
    """The calls in the order in which the agent made them."""


class StopReason(StrEnum):
    """Why an episode is over."""

    USER_STOP = "user_stop"
    """The customer said a stop token: scored."""
    AGENT_TRANSFER = "agent_transfer"
    """The agent transferred to a human where that ends an episode (τ-bench v1): scored."""
    MAX_TURNS = "max_turns"
    """The environment's `max_turns` messages of the agent were said."""
    MAX_STEPS = "max_steps"
    """Upstream's own limit of messages and tool results was reached."""
    TOO_MANY_ERRORS = "too_many_errors"
    """More tool calls failed than `max_errors`, or upstream, allows."""
    USER_ERROR = "user_error"
    """The customer failed: the episode says nothing about the agent."""
    LENGTH = "length"
    """No token was left for the model: told by the player, not by the environment."""
    STOPPED = "stopped"
    """The run was stopped: told by the player; the episode says nothing about the agent."""

    @property
    def is_termination(self) -> bool:
        """Whether upstream scores an episode with this end; every other end is a truncation."""
        return self in (StopReason.USER_STOP, StopReason.AGENT_TRANSFER)

    @property
    def is_scorable(self) -> bool:
        """Whether the reward says something about the agent."""
        return self not in (StopReason.USER_ERROR, StopReason.STOPPED)


Message = dict[str, Any]
"""A message in OpenAI's form."""


class ProcessBreakdown(TypedDict, total=False):
    """How the agent went about it, see `tau_retail_env.world.process`; each from 0.0 to 1.0, off the reward."""

    process: float
    """The product of the parts."""
    process_identified: float
    """1.0 where it knew who the customer is before it touched private data."""
    process_confirmed: float
    """The share of its writes that the customer said yes to."""
    process_one_customer: float
    """1.0 where it touched the data of one customer only."""
    process_nothing_invented: float
    """1.0 where its proposals hold no id and no number that nobody has told."""


class RewardBreakdown(ProcessBreakdown, total=False):
    """What a reward is made of; empty where the episode was not judged."""

    official: float
    """Upstream's reward of the task's version."""
    corrected: float
    """The same after the named corrections, see `tau_retail_env.world.corrections`."""
    database: float
    """1.0 where the episode changed what the gold actions change, else 0.0."""
    outputs: float
    """1.0 where every output was said, else 0.0."""
    missing_writes: float
    """Database entries that only the gold actions change."""
    extra_writes: float
    """Database entries that only the episode changed."""
    wrong_writes: float
    """Database entries that both changed, differently."""
    partial: float
    """How much was right, 0.0 to 1.0: gold writes made and outputs said, less one for each other entry changed, of
    all gold writes and outputs; off the reward unless asked for."""


class AssertedBreakdown(RewardBreakdown, total=False):
    """What a reward is made of where the task is judged by assertions, too."""

    assertions: float
    """1.0 where every assertion holds, else 0.0."""
    unmet_assertions: float
    """How many do not hold."""


class ResetInfo(TypedDict):
    """The info of `TauRetailEnv.reset`."""

    task_id: str
    """The task, such as "tau2/12"."""
    source: str
    """Where the task comes from."""
    task_version: str | None
    """The edition of the source's tasks, such as "0.2" of tau2; None for a source that has none."""
    split: str
    """The split it was loaded from."""
    user_strategy: str
    """Who plays the customer, of a mixture the one drawn."""
    role: str
    """Whose words the observation is: "user"."""
    tools: list[Mapping[str, Any]]
    """The agent's tools as OpenAI schemas."""
    system_prompt: str
    """The first message that the agent sees."""
    messages: list[Message]
    """The opening history after it."""
    customer_usage: NotRequired[dict[str, float]]
    """What the customer's message took, where the user simulator reports it."""


JUDGE_FAILED = "nl_judge: "
"""How `customer_error` begins where it was not the customer that failed, but the model that judges assertions."""


class StepInfo(TypedDict):
    """The info of `TauRetailEnv.step`."""

    role: str
    """Whose words the observation is: "tool" or "user"."""
    messages: list[Message]
    """What came back, as OpenAI messages."""
    metrics: dict[str, float]
    """The step's metrics."""
    metrics_agg_mode: dict[str, str]
    """How each of them adds up over an episode, in ROLL's names: "sum", "mean", "max", "min", "last"."""
    customer_usage: NotRequired[dict[str, float]]
    """What the customer's message took, where the user simulator reports it."""
    customer_error: NotRequired[str]
    """Why the customer failed; only where it did."""
    stop_reason: NotRequired[StopReason]
    """Why the episode is over; this and what follows only at its end."""
    scorable: NotRequired[bool]
    """False if the customer failed."""
    reward_breakdown: NotRequired[RewardBreakdown]
    """What the reward is made of."""
    reward_corrected: NotRequired[float]
    """Upstream's reward after the named corrections; this and the next only where the episode was judged."""
    process: NotRequired[float]
    """How the agent went about it, 0.0 to 1.0."""
    user_strategy: NotRequired[str]
    """Who played the customer."""
