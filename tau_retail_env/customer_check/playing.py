"""Episodes of the oracle agent, several at once, up to the end or to what ends them early."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from queue import Queue
from typing import Any

from tau_retail_env.chat.messages import AgentMessage
from tau_retail_env.customer_check.agent import AttentiveOracle
from tau_retail_env.env import TauRetailEnv
from tau_retail_env.episodes.player import EpisodeRequest, play_episode
from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.tasks import Task
from tau_retail_env.users.api.background import close_background

STOPPING_S = 5.0
"""Seconds that episodes under way have to end once no more are to be played."""


@dataclass(frozen=True, slots=True)
class Played:
    """The episodes of a check."""

    asked: int
    """Episodes that were to be played."""
    trajectories: Sequence[Trajectory]
    """Those that ended, in the order of the requests."""
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
    """Let the oracle agent play; whatever ends this early leaves the episodes that were over by then.

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

    oracle: AttentiveOracle
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
        self._over: Queue[tuple[int, Trajectory | BaseException]] = Queue()
        self._stopped = threading.Event()

    def play(self, environments: Sequence[TauRetailEnv], progress: Callable[[], None]) -> Played:
        threads = [threading.Thread(target=self._work, args=(env,), daemon=True) for env in environments]
        for thread in threads:
            thread.start()
        found: dict[int, Trajectory] = {}
        ended_by = self._collect(found, progress)
        self._stopped.set()
        if isinstance(ended_by, KeyboardInterrupt):
            close_background()
        for thread in threads:
            thread.join(STOPPING_S / len(threads))
        while not self._over.empty():
            number, result = self._over.get()
            if isinstance(result, Trajectory):
                found[number] = result
        return Played(len(self._requests), [found[number] for number in sorted(found)], ended_by)

    def _collect(self, found: dict[int, Trajectory], progress: Callable[[], None]) -> BaseException | None:
        """Take in what the threads play until all is there; returns what ended it before."""
        try:
            while len(found) < len(self._requests):
                number, result = self._over.get()
                if not isinstance(result, Trajectory):
                    return result
                found[number] = result
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
            request = self._requests[number]
            try:
                agent = _StoppableOracle(AttentiveOracle(self._tasks[request.task_id]), self._stopped)
                self._over.put((number, play_episode(env, agent, request)))
            except BaseException as error:
                self._stopped.set()
                self._over.put((number, error))
