"""Playing episodes: one with any agent, or many at once with a model."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

from tau_retail_env.agents.base import Agent
from tau_retail_env.chat.encoder import ChatEncoder
from tau_retail_env.env import TauRetailEnv
from tau_retail_env.episodes.plan import EpisodeRequest
from tau_retail_env.episodes.trajectory import OUT_OF_TOKENS, Trajectory
from tau_retail_env.errors import InvalidValueError, TauRetailError
from tau_retail_env.messages import AgentMessage, ToolCall
from tau_retail_env.users import UserError
from tau_retail_env.users.llm.background import close_background
from tau_retail_env.users.usage import customer_metrics

if TYPE_CHECKING:
    from tau_retail_env.models.sampler import Reply, Sampler

MAX_CONCURRENT_STEPS = 64
"""Most environments that step at the same time."""
CALLING_OFF_S = 0.2
"""Seconds until requests to customers' servers are called off once more after an interruption."""

Progress = Callable[[int, int], None]


def play_episode(
    env: TauRetailEnv, agent: Agent, request: EpisodeRequest, *, record: list[Trajectory] | None = None
) -> Trajectory:
    """Play one episode with an agent; its record holds no tokens.

    Args:
        env: an environment that has the task.
        agent: who answers; made for this episode.
        request: what to play.
        record: gets the episode once it was begun, also where an error stops it: then it ends with stop_reason
            "stopped", and is not scorable.

    Raises:
        RuntimeError: an unexpected error of the environment, with the task named.
    """
    episode = _Episode(env, request)
    try:
        episode.reset()
        while not episode.over:
            episode.step(agent.act(episode.observation, episode.info))
    except BaseException:
        episode.stop()
        raise
    finally:
        if record is not None and episode.over:
            record.append(episode.trajectory())
    return episode.trajectory()


class BatchPlayer:
    """Plays many episodes at once: environments step side by side in threads, the model speaks in batches between.

    A record holds exactly the tokens that the model saw and produced. An episode ends when its environment says so, or
    when `sequence_length` leaves no room: for another token, or for the end of the model's turn. Then it is truncated
    with stop_reason "length" and reward 0.0, scorable, and its environment is not asked again.

    Args:
        make_env: makes an environment; called for as many as play side by side, which are then used again.
        sampler: draws the model's turns; its stop tokens are to be `encoder.stop_ids`.
        encoder: renders the conversation for the model; its system prompt must be the environments'.
        sequence_length: most tokens of an episode, prompt included.
        batch_size: most episodes that are played side by side.

    Raises:
        InvalidValueError: a batch_size below one, or a sequence_length that the system prompt and tools fill.
    """

    def __init__(
        self,
        make_env: Callable[[], TauRetailEnv],
        sampler: Sampler,
        encoder: ChatEncoder,
        *,
        sequence_length: int,
        batch_size: int = 64,
    ) -> None:
        if batch_size < 1:
            raise InvalidValueError(f"batch_size must be at least 1, found {batch_size}")
        if sequence_length <= len(encoder.prefix):
            raise InvalidValueError(
                f"sequence_length {sequence_length} leaves no room for a conversation: system prompt and tools alone "
                f"take {len(encoder.prefix)} tokens; raise it, or choose a shorter prompt_style"
            )
        self._make_env = make_env
        self._sampler = sampler
        self._encoder = encoder
        self._sequence_length = sequence_length
        self._batch_size = batch_size
        self._environments: list[TauRetailEnv] = []

    def play(
        self,
        requests: Sequence[EpisodeRequest],
        *,
        progress: Progress | None = None,
        policy_version: int | None = None,
        record: list[Trajectory] | None = None,
    ) -> list[Trajectory]:
        """Play episodes, `batch_size` after `batch_size`.

        Args:
            requests: what to play.
            progress: called now and then with the number of finished episodes and of all.
            policy_version: training step of the model, for the record.
            record: gets every episode that was begun, also where an error stops the playing: what was under way then
                ends with stop_reason "stopped", and is not scorable.

        Returns:
            One trajectory for each request, in the order of the requests.

        Raises:
            InvalidValueError: unknown task; another system prompt than the encoder's.
            CustomerSetupError: no customer can be had, after all others have stepped.
            RuntimeError: an unexpected error of an environment, with the task named, after all others have stepped.
        """
        episodes: list[_TokenEpisode] = []

        def report() -> None:
            if progress is not None:
                progress(sum(episode.over for episode in episodes), len(requests))

        crew = _Crew(MAX_CONCURRENT_STEPS)
        try:
            for start in range(0, len(requests), self._batch_size):
                batch = self._begin(requests[start : start + self._batch_size])
                episodes += batch
                self._play_batch(batch, crew, report)
        except BaseException:
            crew.dismiss()
            for episode in episodes:
                episode.stop()
            raise
        finally:
            crew.dismiss()
            if record is not None:
                record += [episode.trajectory(policy_version) for episode in episodes if episode.over]
        return [episode.trajectory(policy_version) for episode in episodes]

    def _begin(self, requests: Sequence[EpisodeRequest]) -> list[_TokenEpisode]:
        while len(self._environments) < len(requests):
            self._environments.append(self._make_env())
        return [
            _TokenEpisode(env, request, self._encoder, self._sequence_length)
            for env, request in zip(self._environments, requests, strict=False)
        ]

    def _play_batch(self, episodes: list[_TokenEpisode], crew: _Crew, report: Callable[[], None]) -> None:
        crew.do([episode.reset for episode in episodes])
        conversations = self._sampler.begin(self._encoder.prefix, [episode.sampling_key for episode in episodes])
        heard = {row: episode.opening() for row, episode in enumerate(episodes) if not episode.over}
        while True:
            report()
            heard = {row: ids for row, ids in heard.items() if not episodes[row].over}
            if not heard:
                return
            start = time.perf_counter()
            replies = conversations.reply(heard, {row: episodes[row].room for row in heard})
            seconds = time.perf_counter() - start
            texts = {row: episodes[row].said(reply, seconds) for row, reply in replies.items()}
            stepping = {row: text for row, text in texts.items() if not episodes[row].over}
            crew.do([_bound(episodes[row].step, text) for row, text in stepping.items()])
            heard = {row: episodes[row].following() for row in stepping if not episodes[row].over}


class _Crew:
    """Threads that step environments side by side."""

    def __init__(self, size: int) -> None:
        self._pool = ThreadPoolExecutor(size)
        self._futures: list[Future[None]] = []

    def do(self, calls: Sequence[Callable[[], None]]) -> None:
        """Run all calls to their end; then raise the first error in the order of the calls, if there is one."""
        self._futures = []
        for call in calls:
            self._futures.append(self._pool.submit(call))
        wait(self._futures)
        for future in self._futures:
            future.result()

    def dismiss(self) -> None:
        """End the threads; what they still wait for after an interruption (a customer's server) is called off."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        while wait(self._futures, timeout=CALLING_OFF_S).not_done:
            close_background()


class _Episode:
    """One episode under way: the conversation, the environment's numbers, the end."""

    def __init__(self, env: TauRetailEnv, request: EpisodeRequest) -> None:
        self.over = False
        self.observation = ""
        self.info: Mapping[str, Any] = {}
        self._env = env
        self._request = request
        self._opening: Mapping[str, Any] = {}
        self._messages: list[Mapping[str, Any]] = []
        self._metrics: dict[str, list[float]] = defaultdict(list)
        self._ways: dict[str, str] = {}
        self._turns = 0
        self._environment_s = 0.0
        self._user_strategy = ""
        self._customer_usage: list[Mapping[str, float]] = []
        self._outcome: dict[str, Any] = {}

    def reset(self) -> None:
        """Begin; a customer who cannot open the conversation ends the episode, unscored."""
        try:
            self.observation, self.info = self._timed(self._env.reset, self._request.task_id, self._request.seed)
        except UserError as error:
            self._customer_usage += [error.usage] if error.usage is not None else []
            self._metrics["customer_failures"] = [1.0]
            self._end(
                reward=0.0,
                terminated=False,
                truncated=True,
                stop_reason="user_error",
                scorable=False,
                customer_error=str(error),
            )
            return
        self._hear_customer()
        self._opening = self.info
        self._messages = [{"role": "system", "content": self.info["system_prompt"]}, *self.info["messages"]]

    def step(self, action: AgentMessage | str) -> None:
        """Play one turn."""
        self._turns += 1
        self._messages.append(_openai_message(action))
        self.observation, reward, terminated, truncated, self.info = self._timed(self._env.step, action)
        self._messages += self.info["messages"]
        self._hear_customer()
        for name, value in self.info["metrics"].items():
            self._metrics[name].append(float(value))
        self._ways |= self.info["metrics_agg_mode"]
        if terminated or truncated:
            self._end(
                reward=float(reward),
                terminated=terminated,
                truncated=truncated,
                stop_reason=self.info["stop_reason"],
                scorable=self.info["scorable"],
                reward_breakdown=self.info["reward_breakdown"],
                customer_error=self.info.get("customer_error", ""),
            )

    def stop(self) -> None:
        """End an episode that is under way and cannot go on."""
        if self._opening and not self.over:
            self._end(reward=0.0, terminated=False, truncated=True, stop_reason="stopped", scorable=False)

    def trajectory(self, policy_version: int | None = None) -> Trajectory:
        """The record of the finished episode."""
        request = self._request
        return Trajectory(
            task_id=request.task_id,
            source=self._opening.get("source", request.task_id.partition("/")[0]),
            split=self._opening.get("split", ""),
            seed=request.seed,
            sampling_seed=request.sampling_seed,
            group=request.group,
            tag=request.tag,
            messages=tuple(self._messages),
            user_strategy=self._user_strategy,
            customer_usage=tuple(self._customer_usage),
            metrics=self._all_metrics(),
            timings=self._timings(),
            policy_version=policy_version,
            **self._outcome,
            **self._tokens(),
        )

    def _end(self, **outcome: Any) -> None:
        self.over = True
        self._user_strategy = str(getattr(self._env, "user_strategy", ""))
        self._outcome = outcome

    def _hear_customer(self) -> None:
        if (usage := self.info.get("customer_usage")) is not None:
            self._customer_usage.append(usage)

    def _all_metrics(self) -> dict[str, float]:
        merged = {name: _merged(values, self._ways.get(name, "mean")) for name, values in self._metrics.items()}
        told = customer_metrics(self._customer_usage)
        if "customer_cost_usd" not in told:  # what is known of some steps is not known of the episode
            merged.pop("customer_cost_usd", None)
        return told | merged | {"turns": float(self._turns)}

    def _timings(self) -> dict[str, float]:
        return {"environment_s": self._environment_s}

    def _tokens(self) -> dict[str, Any]:
        return {}

    def _timed(self, call: Callable[..., Any], *arguments: Any) -> Any:
        start = time.perf_counter()
        try:
            return call(*arguments)
        except TauRetailError:
            raise
        except Exception as error:
            task = f"task {self._request.task_id} (seed {self._request.seed}, turn {self._turns})"
            raise RuntimeError(f"The environment failed at {task}: {type(error).__name__}: {error}") from error
        finally:
            self._environment_s += time.perf_counter() - start


class _TokenEpisode(_Episode):
    """An episode played by a model: besides, the tokens that it saw and produced."""

    def __init__(self, env: TauRetailEnv, request: EpisodeRequest, encoder: ChatEncoder, sequence_length: int) -> None:
        super().__init__(env, request)
        self._encoder = encoder
        self._sequence_length = sequence_length
        self._token_ids: list[int] = []
        self._mask: list[int] = []
        self._logprobs: list[float] = []
        self._prompt_length = 0
        self._cut_turns = 0
        self._generation_s = 0.0
        self._last: Reply | None = None

    @property
    def sampling_key(self) -> str:
        """What the model's draws depend on."""
        return f"{self._request.task_id}/{self._request.seed}/{self._request.sampling_seed}"

    @property
    def room(self) -> int:
        """How many more tokens the episode may have."""
        return self._sequence_length - len(self._token_ids)

    def opening(self) -> list[int]:
        """Tokens after the shared prefix up to the model's first turn; ends the episode if they leave no room."""
        if self.info["system_prompt"] != self._encoder.system_prompt:
            raise InvalidValueError(
                f"The environment's system prompt ({self.info['system_prompt'][:60]!r}…) is not the encoder's "
                f"({self._encoder.system_prompt[:60]!r}…); use the same prompt_style and source for both"
            )
        ids = self._encoder.opening(self.info["messages"])
        self._hear(ids)
        self._prompt_length = len(self._token_ids)
        return ids[len(self._encoder.prefix) :]

    def said(self, reply: Reply, seconds: float) -> str:
        """Take the model's turn and return its text; ends the episode if the turn was cut for want of room."""
        self._last = reply
        self._generation_s += seconds
        self._append(reply.token_ids, 1, reply.logprobs)
        self._cut_turns += not reply.stopped
        text = self._encoder.decode(reply.token_ids)
        if not reply.stopped and self.room < 1:
            self._turns += 1
            self._messages.append(_openai_message(text))
            self._end_for_length()
        return text

    def following(self) -> list[int]:
        """Tokens between the model's last turn and its next; ends the episode if they leave no room."""
        closing = self._encoder.closing(self._last.token_ids if self._last else ())
        ids = [*closing, *self._encoder.following(self.info["messages"])]
        self._hear(ids)
        return ids

    def _hear(self, ids: Sequence[int]) -> None:
        """Add tokens that are not the model's own; where they leave no room only those of the opening are kept."""
        if len(ids) >= self.room:
            ids = ids[: self.room] if not self._token_ids else []
            self._end_for_length()
        self._append(ids, 0, [0.0] * len(ids))

    def _append(self, ids: Sequence[int], own: int, logprobs: Sequence[float]) -> None:
        self._token_ids += ids
        self._mask += [own] * len(ids)
        self._logprobs += logprobs

    def _end_for_length(self) -> None:
        self._env.close()
        self._end(reward=0.0, terminated=False, truncated=True, stop_reason=OUT_OF_TOKENS, scorable=True)

    def _all_metrics(self) -> dict[str, float]:
        own = {"response_tokens": float(sum(self._mask)), "cut_turns": float(self._cut_turns)}
        return super()._all_metrics() | own

    def _timings(self) -> dict[str, float]:
        return super()._timings() | {"generation_s": self._generation_s}

    def _tokens(self) -> dict[str, Any]:
        return {
            "token_ids": tuple(self._token_ids),
            "response_mask": tuple(self._mask),
            "logprobs": tuple(self._logprobs),
            "prompt_length": self._prompt_length,
        }


def _bound(step: Callable[[AgentMessage | str], None], text: str) -> Callable[[], None]:
    return lambda: step(text)


def _merged(values: Sequence[float], way: str) -> float:
    """One number for the episode from one a turn, in ROLL's names for ways of adding up."""
    ways: dict[str, Callable[[Sequence[float]], float]] = {
        "sum": sum,
        "mean": lambda numbers: sum(numbers) / len(numbers),
        "max": max,
        "min": min,
        "last": lambda numbers: numbers[-1],
    }
    if way not in ways:
        raise InvalidValueError(f"Unknown metrics_agg_mode {way!r}; known: {', '.join(ways)}")
    return float(ways[way](values))


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
