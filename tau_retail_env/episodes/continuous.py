"""Plays many episodes at once with an engine that draws tokens for all that wait: no episode waits for another."""

from __future__ import annotations

import functools
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Protocol

from tau_retail_env.chat.encoder import ChatEncoder
from tau_retail_env.env import TauRetailEnv
from tau_retail_env.episodes.plan import EpisodeRequest
from tau_retail_env.episodes.runner import ModelRunner
from tau_retail_env.episodes.token_episode import TokenEpisode
from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.tasks.seeding import seed_of

if TYPE_CHECKING:
    from tau_retail_env.models.sampler import Reply

WAITING_S = 0.1
"""Seconds that the player waits for a customer where no tokens are to be drawn meanwhile."""


class TokenEngine(Protocol):
    """Draws the turns of many conversations, each as soon as it can; a `VllmEngine`."""

    def add(self, place: int, prompt_ids: Sequence[int], *, room: int, seed: int) -> None:
        """Ask for the model's next turn.

        Args:
            place: the number under which the turn comes back.
            prompt_ids: all tokens before it.
            room: most tokens that it may have.
            seed: of its draws.
        """
        ...

    def step(self) -> list[tuple[int, Reply]]:
        """Draw a token for every conversation that asked; returns the turns that ended, by place."""
        ...


class ContinuousPlayer:
    """Plays episodes whose turns an engine draws; a record holds exactly the tokens that the model saw and produced.

    An episode ends as with `BatchPlayer`. One thread drives it: `begin`, then `tick` until nothing is `unfinished`.

    Args:
        make_env: makes an environment; called for as many as play side by side, which are then used again.
        engine: draws the model's turns; its stop tokens are to be `encoder.stop_ids`.
        encoder: renders the conversation for the model; its system prompt must be the environments'.
        sequence_length: most tokens of an episode, prompt included.
        at_once: most episodes that are played side by side.
        threads: most environments that step at the same time while tokens are drawn; 0 where the customer computes and
            waits for nobody, so that they step in this thread.
    """

    def __init__(
        self,
        make_env: Callable[[], TauRetailEnv],
        engine: TokenEngine,
        encoder: ChatEncoder,
        *,
        sequence_length: int,
        at_once: int,
        threads: int = 0,
    ) -> None:
        self._make_env = make_env
        self._engine = engine
        self._encoder = encoder
        self._sequence_length = sequence_length
        self._at_once = at_once
        self._pool = ThreadPoolExecutor(threads) if threads else None
        self._waiting: deque[tuple[int, EpisodeRequest]] = deque()
        self._runners: dict[int, ModelRunner] = {}
        self._free: list[TauRetailEnv] = []
        self._envs: dict[int, TauRetailEnv] = {}
        self._asked_at: dict[int, float] = {}
        self._stepping: dict[Future[None], int] = {}
        self._stepped: deque[int] = deque()

    @property
    def unfinished(self) -> int:
        """Episodes that were begun and have not come back."""
        return len(self._waiting) + len(self._runners)

    def begin(self, place: int, request: EpisodeRequest) -> None:
        """Take an episode; it is opened when there is room.

        Args:
            place: a number of its own, under which it comes back.
            request: what to play.
        """
        self._waiting.append((place, request))

    def tick(self) -> list[tuple[int, Trajectory]]:
        """Draw one token for every conversation that waits for one, and step the environments of those that spoke.

        Returns:
            The episodes that ended, by place.

        Raises:
            InvalidValueError: unknown task; another system prompt than the encoder's.
            UserSetupError: no customer is available.
            RuntimeError: an unexpected error of an environment, with the task named.
        """
        while self._waiting and len(self._runners) < self._at_once:
            self._open(*self._waiting.popleft())
        ended = []
        for place, reply in self._engine.step() if self._asked_at else ():
            runner = self._runners[place]
            text = runner.speak(reply, time.perf_counter() - self._asked_at.pop(place))
            if runner.episode.over:
                ended.append(self._ended(place))
            else:
                self._do(place, functools.partial(runner.step, text))
        for place in self._have_stepped():
            if not self._asks(place):
                ended.append(self._ended(place))
        return ended

    def _open(self, place: int, request: EpisodeRequest) -> None:
        env = self._free.pop() if self._free else self._make_env()
        episode = TokenEpisode(request=request, encoder=self._encoder, sequence_length=self._sequence_length)
        self._envs[place] = env
        self._runners[place] = ModelRunner(env, episode)
        self._do(place, self._runners[place].reset)

    def _do(self, place: int, call: Callable[[], None]) -> None:
        """Step an environment, here or in a thread."""
        if self._pool is None:
            call()
            self._stepped.append(place)
        else:
            self._stepping[self._pool.submit(call)] = place

    def _have_stepped(self) -> list[int]:
        """The places whose environments have answered."""
        if self._stepping:
            timeout = 0 if self._asked_at or self._stepped else WAITING_S
            for future in wait(self._stepping, timeout, FIRST_COMPLETED).done:
                future.result()
                self._stepped.append(self._stepping.pop(future))
        stepped = list(self._stepped)
        self._stepped.clear()
        return stepped

    def _asks(self, place: int) -> bool:
        """Ask for the model's next turn in an episode; False where it is over."""
        episode = self._runners[place].episode
        if not episode.over:
            self._runners[place].listen()
        if episode.over:
            return False
        request = episode.request
        seed = seed_of(request.sampling_key, "turn", episode.turns)
        self._asked_at[place] = time.perf_counter()
        self._engine.add(place, episode.prompt_ids, room=episode.room, seed=seed)
        return True

    def _ended(self, place: int) -> tuple[int, Trajectory]:
        self._free.append(self._envs.pop(place))
        return place, self._runners.pop(place).trajectory()
