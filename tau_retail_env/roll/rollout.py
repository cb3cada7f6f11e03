"""One try at an episode: the tokens that went to the engine and came back, what was said, how it ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tau_retail_env.chat.encoder import ChatEncoder
from tau_retail_env.episodes.plan import EpisodeRequest
from tau_retail_env.episodes.trajectory import OUT_OF_TOKENS, Trajectory
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.users import UserError

Result = TypeVar("Result")


@dataclass
class Clock:
    """Where an episode's time goes, in seconds; all tries together."""

    environment_s: float = 0.0
    """Wall clock inside reset and step, the customer's answers included."""
    customer_s: float = 0.0
    """Wall clock of the customer's part of it."""
    environment_cpu_s: float = 0.0
    """Processor time of the same, on the episode's thread."""
    chat_cpu_s: float = 0.0
    """Processor time for rendering, tokenising and decoding."""
    generation_s: float = 0.0
    """Wall clock waiting for the engine."""
    proxy_cpu_s: float = 0.0
    """Processor time of ROLL's proxy and of Ray while asking it."""
    steps: int = 0
    """Calls of step."""

    def environment(self, call: Callable[..., Result], *arguments: Any) -> Result:
        """Call the environment and count its time."""
        start, start_cpu = time.perf_counter(), time.thread_time()
        try:
            return call(*arguments)
        finally:
            self.environment_s += time.perf_counter() - start
            self.environment_cpu_s += time.thread_time() - start_cpu

    def proxy(self, call: Callable[..., Result], **arguments: Any) -> Result:
        """Ask the engine and count the time."""
        start, start_cpu = time.perf_counter(), time.thread_time()
        try:
            return call(**arguments)
        finally:
            self.generation_s += time.perf_counter() - start
            self.proxy_cpu_s += time.thread_time() - start_cpu

    def chat(self, call: Callable[..., Result], *arguments: Any) -> Result:
        """Call the encoder and count its time."""
        start = time.thread_time()
        try:
            return call(*arguments)
        finally:
            self.chat_cpu_s += time.thread_time() - start


@dataclass
class Rollout:
    """A conversation under way, only ever appended to.

    Of the tokens, those that no turn of the actor follows (`pending`) are kept apart: they go to the engine again where
    a request was aborted, and are left out where the episode ends.
    """

    request: EpisodeRequest
    """What is played."""
    encoder: ChatEncoder
    """Renders it for the actor."""
    clock: Clock
    """Counts the time."""
    pad_token_id: int
    """A token that ends a turn but is none of its words."""
    policy_version: int = 0
    """ROLL's training step at the beginning."""
    token_ids: list[int] = field(default_factory=list)
    """What went to the engine before the actor's last turn, and that turn."""
    response_mask: list[int] = field(default_factory=list)
    """1 on the actor's own tokens."""
    logprobs: list[float] = field(default_factory=list)
    """The engine's, 0.0 on tokens that are not the actor's."""
    pending: list[int] = field(default_factory=list)
    """What follows them in the next prompt."""
    messages: list[Mapping[str, Any]] = field(default_factory=list)
    """The conversation as OpenAI messages."""
    metrics: list[Mapping[str, float]] = field(default_factory=list)
    """The environment's metrics of each step, and the kinds of tool errors."""
    rewards: list[float] = field(default_factory=list)
    """The environment's rewards, one a step."""
    turns: int = 0
    """Messages of the actor."""
    cut: bool = False
    """Whether the actor's last turn was cut: it did not end it itself."""
    cut_turns: int = 0
    """How many were."""
    stop_reason: str = ""
    """Why it is over; empty while it is not."""
    terminated: bool = False
    """Whether the customer ended it."""
    scorable: bool = True
    """False if the customer failed."""
    with_logprobs: bool = True
    """Whether the engine told log-probabilities for every turn."""
    source: str = ""
    """Where the task comes from."""
    split: str = ""
    """The split it was loaded from."""
    user_strategy: str = ""
    """Who plays the customer."""
    customer_usage: list[Mapping[str, float]] = field(default_factory=list)
    """What the customer's messages took."""
    customer_error: str = ""
    """Why the customer failed."""
    reward_breakdown: Mapping[str, Any] = field(default_factory=dict)
    """What the reward is made of."""
    _closing: list[int] = field(default_factory=list)

    @property
    def over(self) -> bool:
        """Whether nothing more is played."""
        return bool(self.stop_reason)

    @property
    def reward(self) -> float:
        """The sum of the environment's rewards."""
        return float(sum(self.rewards))

    @property
    def prompt_ids(self) -> list[int]:
        """What the engine gets for the actor's next turn."""
        return self.token_ids + self.pending

    @property
    def prompt_length(self) -> int:
        """Tokens before the actor's first own one."""
        return self.response_mask.index(1) if 1 in self.response_mask else len(self.token_ids)

    def open(self, info: Mapping[str, Any]) -> None:
        """Begin with what `reset` told.

        Raises:
            InvalidValueError: the environment shows another system prompt than the one that was tokenised.
        """
        if info["system_prompt"] != self.encoder.system_prompt:
            raise InvalidValueError(
                f"The environment's system prompt ({info['system_prompt'][:60]!r}…) is not the one that the env "
                f"manager tokenised ({self.encoder.system_prompt[:60]!r}…): a wrapper may not change it"
            )
        self.messages = [{"role": "system", "content": info["system_prompt"]}, *info["messages"]]
        self.source, self.split = info["source"], info["split"]
        self.user_strategy = info["user_strategy"]
        self._hear_customer(info)
        self.pending = self.clock.chat(self.encoder.opening, info["messages"])

    def fail_to_open(self, error: UserError, user_strategy: str) -> None:
        """End before the first word, because the customer failed."""
        self.token_ids = list(self.encoder.prefix)
        self.response_mask = [0] * len(self.token_ids)
        self.logprobs = [0.0] * len(self.token_ids)
        self.source = self.request.task_id.partition("/")[0]
        self.user_strategy = user_strategy
        self.customer_usage += [error.usage] if error.usage is not None else []
        self.stop_reason, self.scorable, self.customer_error = "user_error", False, str(error)

    def say(self, response_ids: Sequence[int], logprobs: Sequence[float] | None) -> str:
        """Take a turn of the actor.

        Args:
            response_ids: the engine's tokens, at least one. A padding token at the end stops a turn without being one
                of its words, and ROLL keeps no log-probability for it: it is left out.
            logprobs: one for each, None where the engine told none.

        Returns:
            The text for the environment.
        """
        own = list(response_ids)
        while own and own[-1] == self.pad_token_id:
            own.pop()
        stopped = len(own) < len(response_ids) or own[-1] in self.encoder.stop_ids
        self._append(self.pending, 0)
        self.pending = []
        self._append(own, 1, logprobs)
        self.with_logprobs = self.with_logprobs and logprobs is not None
        self.turns += 1
        self.cut = not stopped
        self.cut_turns += self.cut
        self._closing = self.encoder.closing(own)
        text = self.clock.chat(self.encoder.decode, own)
        self.messages.append({"role": "assistant", "content": text})
        return text

    def come_back(self, reward: float, terminated: bool, truncated: bool, info: Mapping[str, Any]) -> None:
        """Take what the environment answered to the actor's message."""
        self.rewards.append(float(reward))
        self.messages += info["messages"]
        self._hear_customer(info)
        self.metrics.append(info["metrics"])
        if terminated or truncated:
            self.stop_reason, self.terminated = info["stop_reason"], terminated
            self.scorable = info["scorable"]
            self.customer_error = info.get("customer_error", "")
            self.reward_breakdown = info["reward_breakdown"]
            self.user_strategy = info["user_strategy"]
        else:
            self.pending = [*self._closing, *self.clock.chat(self.encoder.following, info["messages"])]

    def end_for_length(self, sequence_length: int) -> None:
        """End for want of room: what no turn followed is left out; of a first prompt the room is filled."""
        if not self.token_ids:
            self._append(self.pending[:sequence_length], 0)
        self.pending = []
        self.stop_reason = OUT_OF_TOKENS

    def trajectory(self, timings: Mapping[str, float]) -> Trajectory:
        """The record of this try.

        Args:
            timings: in seconds.
        """
        totals: dict[str, float] = {}
        for step in self.metrics:
            for name, value in step.items():
                totals[name] = value if name == "success" else totals.get(name, 0.0) + value
        return Trajectory(
            task_id=self.request.task_id,
            source=self.source,
            split=self.split,
            seed=self.request.seed,
            sampling_seed=self.request.sampling_seed,
            group=self.request.group,
            tag=self.request.tag,
            messages=tuple(self.messages),
            token_ids=tuple(self.token_ids),
            response_mask=tuple(self.response_mask),
            logprobs=tuple(self.logprobs) if self.with_logprobs else (),
            prompt_length=self.prompt_length,
            reward=self.reward,
            terminated=self.terminated,
            truncated=not self.terminated,
            stop_reason=self.stop_reason,
            scorable=self.scorable,
            user_strategy=self.user_strategy,
            customer_usage=tuple(self.customer_usage),
            customer_error=self.customer_error,
            reward_breakdown=self.reward_breakdown,
            metrics=totals
            | {
                "turns": float(self.turns),
                "response_tokens": float(sum(self.response_mask)),
                "cut_turns": float(self.cut_turns),
            },
            timings=timings,
            policy_version=self.policy_version,
        )

    def _append(self, ids: Sequence[int], own: int, logprobs: Sequence[float] | None = None) -> None:
        self.token_ids += ids
        self.response_mask += [own] * len(ids)
        self.logprobs += [0.0] * len(ids) if logprobs is None else logprobs[: len(ids)]

    def _hear_customer(self, info: Mapping[str, Any]) -> None:
        if (usage := info.get("customer_usage")) is not None:
            self.customer_usage.append(usage)
