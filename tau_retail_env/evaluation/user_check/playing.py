"""Episodes of the oracle agent, several at once, up to the end or to what ends them early."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from queue import Queue
from typing import Any

from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.env import TauRetailEnv
from tau_retail_env.episodes.plan import EpisodeRequest
from tau_retail_env.episodes.player import play_episode
from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.messages import AgentMessage
from tau_retail_env.tasks import Task
from tau_retail_env.users.llm.background import close_background

ARRIVING_S = 60.0
"""Seconds that customers' messages under way have to arrive where the check ends early by itself: they are paid for."""
STOPPING_S = 5.0
"""Seconds that episodes have to end once the messages they wait for are cancelled."""
CANCEL_EVERY_S = 0.2
"""Seconds until messages are cancelled once more."""


@dataclass(frozen=True, slots=True)
class Played:
    """The episodes of a check."""

    asked: int
    """Episodes that were to be played."""
    trajectories: Sequence[Trajectory]
    """Those that were begun, in the order of the requests; what was under way at an early end has stop_reason
    "stopped" and is not scorable."""
    ended_by: BaseException | None
    """What ended the check early: Ctrl-C, the budget, a server that takes no more requests, an error; else None."""


def spread(tasks: Sequence[Task], episodes: int, seed: int) -> list[EpisodeRequest]:
    """Which episodes to play: every task once before any twice; what is left over is spread evenly over the tasks.

    Args:
        tasks: what can be played.
        episodes: how many.
        seed: the customer's wording in the first round through the tasks; each further round adds 1.
    """
    rounds, rest = divmod(episodes, len(tasks))
    whole = [EpisodeRequest(task.id, seed + number) for number in range(rounds) for task in tasks]
    places = (place * len(tasks) // rest for place in range(rest))
    return whole + [EpisodeRequest(tasks[place].id, seed + rounds) for place in places]


def play(
    requests: Sequence[EpisodeRequest],
    tasks: Sequence[Task],
    make_env: Callable[[], TauRetailEnv],
    *,
    workers: int = 1,
    progress: Callable[[], None] = lambda: None,
) -> Played:
    """Let the oracle agent play; whatever ends this early leaves the episodes that were begun by then.

    Args:
        requests: what to play.
        tasks: the tasks of the requests.
        make_env: makes an environment; called once a worker, before the first episode.
        workers: episodes at once.
        progress: called after each episode.

    Raises:
        TauRetailError: whatever `make_env` raises.
    """
    environments = [make_env() for _ in range(min(workers, len(requests)))]
    return _Team(requests, {task.id: task for task in tasks}).play(environments, progress)


class _StoppedError(Exception):
    """No more is to be played."""


@dataclass(frozen=True, slots=True)
class _StoppableOracle:
    """The oracle, until somebody says stop."""

    oracle: OracleAgent
    stopped: threading.Event

    def act(self, observation: str, info: Mapping[str, Any]) -> AgentMessage:
        if self.stopped.is_set():
            raise _StoppedError
        return self.oracle.act(observation, info)


class _Team:
    """Threads that take one episode after another; they are daemons, for a hanging server must not keep a process."""

    def __init__(self, requests: Sequence[EpisodeRequest], tasks: Mapping[str, Task]) -> None:
        self._requests = requests
        self._tasks = tasks
        self._waiting = deque(range(len(requests)))
        self._begun: dict[int, Trajectory] = {}
        self._ends: Queue[BaseException | None] = Queue()
        self._stopped = threading.Event()

    def play(self, environments: Sequence[TauRetailEnv], progress: Callable[[], None]) -> Played:
        threads = [threading.Thread(target=self._work, args=(env,), daemon=True) for env in environments]
        for thread in threads:
            thread.start()
        ended_by = self._await_all(progress)
        self._stopped.set()
        _end(threads, at_once=isinstance(ended_by, KeyboardInterrupt))
        begun = self._begun.copy()
        return Played(len(self._requests), [begun[number] for number in sorted(begun)], ended_by)

    def _await_all(self, progress: Callable[[], None]) -> BaseException | None:
        """Wait until all is played; returns what ended it before."""
        try:
            for _ in self._requests:
                if (error := self._ends.get()) is not None:
                    return error
                progress()
        except KeyboardInterrupt as interruption:
            return interruption
        return None

    def _work(self, env: TauRetailEnv) -> None:
        while not self._stopped.is_set():
            try:
                number = self._waiting.popleft()
            except IndexError:
                return
            error = self._play_one(env, number)
            self._ends.put(error)
            if error is not None:
                self._stopped.set()

    def _play_one(self, env: TauRetailEnv, number: int) -> BaseException | None:
        """Play an episode and keep it; returns the error that stopped it."""
        request, record = self._requests[number], list[Trajectory]()
        try:
            agent = _StoppableOracle(OracleAgent(self._tasks[request.task_id]), self._stopped)
            play_episode(env, agent, request, record=record)
        except BaseException as error:
            return error
        finally:
            self._begun.update(zip([number], record, strict=False))
        return None


def _end(threads: Sequence[threading.Thread], *, at_once: bool) -> None:
    """Let the threads finish the message they are at; then, or at once, cancel what they wait for."""
    try:
        if not at_once:
            _join(threads, ARRIVING_S)
    except KeyboardInterrupt:
        pass
    end = time.monotonic() + STOPPING_S
    while any(thread.is_alive() for thread in threads) and time.monotonic() < end:
        close_background()
        _join(threads, CANCEL_EVERY_S)


def _join(threads: Sequence[threading.Thread], within_s: float) -> None:
    end = time.monotonic() + within_s
    for thread in threads:
        thread.join(max(end - time.monotonic(), 0.0))
