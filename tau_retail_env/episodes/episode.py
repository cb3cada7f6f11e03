"""One episode while it is played: its messages, its steps' numbers, how it ends; the same for every player."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tau_retail_env.episodes.plan import EpisodeRequest
from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.messages import (
    JUDGE_FAILED,
    AgentMessage,
    ResetInfo,
    RewardBreakdown,
    StepInfo,
    StopReason,
    ToolCall,
)
from tau_retail_env.users import UserError
from tau_retail_env.users.usage import USER_METRICS, user_metrics

WAYS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "sum": sum,
    "mean": lambda numbers: sum(numbers) / len(numbers),
    "max": max,
    "min": min,
    "last": lambda numbers: numbers[-1],
}
"""How a step's metric adds up over an episode, by ROLL's names in `metrics_agg_mode`."""


@dataclass(kw_only=True)
class Episode:
    """An episode under way; its player calls `open` (or `fail_to_open`), then `say` and `hear` turn by turn."""

    request: EpisodeRequest
    """What is played."""
    policy_version: int | None = None
    """Training step of the model that plays, None if unknown."""
    messages: list[Mapping[str, Any]] = field(default_factory=list)
    """The conversation as OpenAI messages; empty before it is open."""
    rewards: list[float] = field(default_factory=list)
    """The environment's rewards, one a step."""
    turns: int = 0
    """Messages of the agent."""
    stop_reason: StopReason | None = None
    """Why it is over; None while it is not."""
    source: str = ""
    """Where the task comes from."""
    split: str = ""
    """The split it was loaded from."""
    task_version: str | None = None
    """The edition of the source's tasks."""
    user_strategy: str = ""
    """Who plays the customer."""
    customer_usage: list[Mapping[str, float]] = field(default_factory=list)
    """What the customer's messages took."""
    customer_error: str = ""
    """Why the customer failed."""
    reward_breakdown: RewardBreakdown = field(default_factory=RewardBreakdown)
    """What the reward is made of."""
    _steps: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    _ways: dict[str, str] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        """Whether nothing more is played."""
        return self.stop_reason is not None

    @property
    def scorable(self) -> bool:
        """Whether its reward says something about the agent."""
        return self.stop_reason is None or self.stop_reason.is_scorable

    @property
    def truncated(self) -> bool:
        """Whether it is over and the customer did not end it."""
        return self.stop_reason is not None and not self.stop_reason.is_termination

    @property
    def reward(self) -> float:
        """The sum of the environment's rewards."""
        return float(sum(self.rewards))

    def open(self, info: ResetInfo) -> None:
        """Begin with the `info` of `reset`."""
        self.messages = [{"role": "system", "content": info["system_prompt"]}, *info["messages"]]
        self.source, self.split, self.task_version = info["source"], info["split"], info.get("task_version")
        self.user_strategy = info["user_strategy"]
        self._hear_user(info)

    def fail_to_open(self, error: UserError, user_strategy: str) -> None:
        """End before the first word, because the customer failed."""
        self.source = self.request.task_id.partition("/")[0]
        self.user_strategy = user_strategy
        self.customer_usage += [error.usage] if error.usage is not None else []
        self.customer_error = str(error)
        self.stop_reason = StopReason.USER_ERROR

    def say(self, action: AgentMessage | str) -> None:
        """Take a message of the agent."""
        self.turns += 1
        self.messages.append(_openai_message(action))

    def hear(self, reward: float, terminated: bool, truncated: bool, info: StepInfo) -> None:
        """Take what `step` answered to the agent's message."""
        self.rewards.append(float(reward))
        self.messages += info["messages"]
        self._hear_user(info)
        for name, value in info["metrics"].items():
            self._steps[name].append(float(value))
        self._ways |= info["metrics_agg_mode"]
        if terminated or truncated:
            self.stop_reason = StopReason(info["stop_reason"])
            self.customer_error = info.get("customer_error", "")
            self.reward_breakdown = info["reward_breakdown"]
            self.user_strategy = info["user_strategy"]

    def stop(self) -> None:
        """End it where it is under way and cannot go on."""
        if self.messages and not self.over:
            self.stop_reason = StopReason.STOPPED

    def step_metrics(self) -> dict[str, float]:
        """The environment's metrics, each added up over the steps in its own way; the customer's are left out.

        Raises:
            InvalidValueError: the environment names a way that is none of `WAYS`.
        """
        # The customer's are known message by message: a cost that some steps know is not that of the episode.
        own = {name: values for name, values in self._steps.items() if name not in USER_METRICS}
        return {name: _added_up(values, self._ways.get(name, "mean")) for name, values in own.items()}

    def metrics(self) -> dict[str, float]:
        """All numbers of the episode, for its record."""
        is_customers = self.stop_reason is StopReason.USER_ERROR and not self.customer_error.startswith(JUDGE_FAILED)
        failed = {"customer_failures": 1.0} if is_customers else {}
        return user_metrics(self.customer_usage) | failed | self.step_metrics() | {"turns": float(self.turns)}

    def trajectory(self, timings: Mapping[str, float]) -> Trajectory:
        """The record of the finished episode.

        Args:
            timings: in seconds.
        """
        assert self.stop_reason is not None, "only what is over has a record"
        request = self.request
        return Trajectory(
            task_id=request.task_id,
            source=self.source,
            task_version=self.task_version,
            split=self.split,
            seed=request.seed,
            sampling_seed=request.sampling_seed,
            group=request.group,
            tag=request.tag,
            messages=tuple(self.messages),
            reward=self.reward,
            terminated=self.stop_reason.is_termination,
            truncated=self.truncated,
            stop_reason=self.stop_reason,
            scorable=self.scorable,
            user_strategy=self.user_strategy,
            customer_usage=tuple(self.customer_usage),
            customer_error=self.customer_error,
            reward_breakdown=self.reward_breakdown,
            metrics=self.metrics(),
            timings=timings,
            policy_version=self.policy_version,
            **self._tokens(),
        )

    def _tokens(self) -> dict[str, Any]:
        return {}

    def _hear_user(self, info: ResetInfo | StepInfo) -> None:
        if (usage := info.get("customer_usage")) is not None:
            self.customer_usage.append(usage)


def _added_up(values: Sequence[float], way: str) -> float:
    if way not in WAYS:
        raise InvalidValueError(f"Unknown metrics_agg_mode {way!r}; known: {', '.join(WAYS)}")
    return float(WAYS[way](values))


def _openai_message(action: AgentMessage | str) -> dict[str, Any]:
    if isinstance(action, str):
        return {"role": "assistant", "content": action}
    message: dict[str, Any] = {"role": "assistant", "content": action.content}
    if action.tool_calls:
        message["tool_calls"] = [_openai_call(call) for call in action.tool_calls]
    return message


def _openai_call(call: ToolCall) -> dict[str, Any]:
    arguments = dict(call.arguments) if isinstance(call.arguments, Mapping) else call.arguments
    text = json.dumps(arguments, ensure_ascii=False, default=repr)
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": text}}
