"""Playing episodes: one with any agent, or many at once with a model."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tau_retail_env.agents.base import Agent
from tau_retail_env.chat.encoder import ChatEncoder
from tau_retail_env.env import TauRetailEnv
from tau_retail_env.episodes.episode import Episode
from tau_retail_env.episodes.plan import EpisodeRequest
from tau_retail_env.episodes.runner import EpisodeRunner, ModelRunner
from tau_retail_env.episodes.token_episode import TokenEpisode
from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.messages import AgentMessage
from tau_retail_env.users.llm.background import close_background

if TYPE_CHECKING:
    from tau_retail_env.models.sampler import Sampler

MAX_CONCURRENT_STEPS = 512
"""Most environments that step at the same time, each in a thread; where a customer has a server, most of them wait."""
CANCEL_EVERY_S = 0.2
"""Seconds until requests to customers' servers are cancelled once more after an interruption."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the playing has come."""

    finished: int
    """Episodes that are over."""
    asked: int
    """Episodes that are to be played."""
    turns: int
    """Messages of the agent so far, in all of them."""
    finished_turns: int
    """Those of the finished episodes."""
    tokens: int
    """Tokens of all episodes so far."""


Progress = Callable[[Standing], None]
Finished = Callable[[int, Trajectory], None]


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
    episode = Episode(request=request)
    runner = EpisodeRunner(env, episode)
    try:
        runner.reset()
        while not episode.over:
            action = agent.act(runner.observation, runner.info)
            episode.say(action)
            runner.step(action)
    except BaseException:
        episode.stop()
        raise
    finally:
        if record is not None and episode.over:
            record.append(runner.trajectory())
    return runner.trajectory()


class BatchPlayer:
    """Plays many episodes at once: environments step side by side in threads, the model speaks in batches between.

    A record holds exactly the tokens that the model saw and produced. An episode ends when its environment says so, or
    when `sequence_length` or `max_own_tokens` leaves no room: for another token, or for the end of the model's turn.
    Then it is truncated with stop_reason "length" and reward 0.0, scorable, and its environment is not asked again.

    Args:
        make_env: makes an environment; called for as many as play side by side, which are then used again.
        sampler: draws the model's turns; its stop tokens are to be `encoder.stop_ids`.
        encoder: renders the conversation for the model; its system prompt must be the environments'.
        sequence_length: most tokens of an episode, prompt included.
        max_own_tokens: most tokens of an episode that are the model's own; None for no such limit.
        batch_size: most episodes that are played side by side.

    Raises:
        InvalidValueError: a batch_size or max_own_tokens below one, or a sequence_length that the system prompt and
            tools fill.
    """

    def __init__(
        self,
        make_env: Callable[[], TauRetailEnv],
        sampler: Sampler,
        encoder: ChatEncoder,
        *,
        sequence_length: int,
        max_own_tokens: int | None = None,
        batch_size: int = 64,
    ) -> None:
        if batch_size < 1:
            raise InvalidValueError(f"batch_size must be at least 1, found {batch_size}")
        if max_own_tokens is not None and max_own_tokens < 1:
            raise InvalidValueError(f"max_own_tokens must be at least 1 or None, found {max_own_tokens}")
        if sequence_length <= len(encoder.prefix):
            raise InvalidValueError(
                f"sequence_length {sequence_length} leaves no room for a conversation: system prompt and tools alone "
                f"take {len(encoder.prefix)} tokens; raise it, or choose a shorter prompt_style"
            )
        self._make_env = make_env
        self._sampler = sampler
        self._encoder = encoder
        self._sequence_length = sequence_length
        self._max_own_tokens = max_own_tokens
        self._batch_size = batch_size
        self._environments: list[TauRetailEnv] = []

    def play(
        self,
        requests: Sequence[EpisodeRequest],
        *,
        progress: Progress | None = None,
        finished: Finished | None = None,
        policy_version: int | None = None,
        record: list[Trajectory] | None = None,
    ) -> list[Trajectory]:
        """Play episodes, `batch_size` after `batch_size`.

        Args:
            requests: what to play.
            progress: called after every turn of the episodes under way.
            finished: called with every episode as soon as it is over, and with its place among the requests.
            policy_version: training step of the model, for the record.
            record: gets every episode that was begun, also where an error stops the playing: what was under way then
                ends with stop_reason "stopped", and is not scorable.

        Returns:
            One trajectory for each request, in the order of the requests.

        Raises:
            InvalidValueError: unknown task; another system prompt than the encoder's.
            UserSetupError: no customer is available, after all others have stepped.
            RuntimeError: an unexpected error of an environment, with the task named, after all others have stepped.
        """
        runners: list[ModelRunner] = []
        reported: set[int] = set()

        def report() -> None:
            for place, runner in enumerate(runners):
                if finished is not None and runner.episode.over and place not in reported:
                    reported.add(place)
                    finished(place, runner.trajectory())
            if progress is not None:
                progress(_standing(runners, len(requests)))

        pool = _ThreadPool(MAX_CONCURRENT_STEPS)
        try:
            for start in range(0, len(requests), self._batch_size):
                batch = self._runners(requests[start : start + self._batch_size], policy_version)
                runners += batch
                self._play_batch(batch, pool, report)
        except BaseException:
            pool.dismiss()
            for runner in runners:
                runner.episode.stop()
            raise
        finally:
            pool.dismiss()
            if record is not None:
                record += [runner.trajectory() for runner in runners if runner.episode.over]
        return [runner.trajectory() for runner in runners]

    def _runners(self, requests: Sequence[EpisodeRequest], policy_version: int | None) -> list[ModelRunner]:
        while len(self._environments) < len(requests):
            self._environments.append(self._make_env())
        return [
            ModelRunner(
                env,
                TokenEpisode(
                    request=request,
                    policy_version=policy_version,
                    encoder=self._encoder,
                    sequence_length=self._sequence_length,
                    max_own_tokens=self._max_own_tokens,
                ),
            )
            for env, request in zip(self._environments, requests, strict=False)
        ]

    def _play_batch(self, runners: list[ModelRunner], pool: _ThreadPool, report: Callable[[], None]) -> None:
        pool.do([runner.reset for runner in runners])
        conversations = self._sampler.begin(
            self._encoder.prefix, [runner.episode.request.sampling_key for runner in runners]
        )
        known = len(self._encoder.prefix)  # the sampler has been given the prefix already
        while True:
            heard = {row: runner.listen()[known:] for row, runner in enumerate(runners) if not runner.episode.over}
            heard = {row: ids for row, ids in heard.items() if not runners[row].episode.over}
            known = 0
            report()
            if not heard:
                return
            start = time.perf_counter()
            replies = conversations.reply(heard, {row: runners[row].episode.room for row in heard})
            seconds = time.perf_counter() - start
            texts = {row: runners[row].speak(reply, seconds) for row, reply in replies.items()}
            pool.do([_bound(runners[row].step, text) for row, text in texts.items() if not runners[row].episode.over])


class _ThreadPool:
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
        """End the threads; what they still wait for after an interruption (a customer's server) is cancelled."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        while wait(self._futures, timeout=CANCEL_EVERY_S).not_done:
            close_background()


def _standing(runners: Sequence[ModelRunner], asked: int) -> Standing:
    over = [runner.episode for runner in runners if runner.episode.over]
    turns = sum(runner.episode.turns for runner in runners)
    tokens = sum(runner.tokens for runner in runners)
    return Standing(len(over), asked, turns, sum(episode.turns for episode in over), tokens)


def _bound(step: Callable[[AgentMessage | str], None], text: str) -> Callable[[], None]:
    return lambda: step(text)
