"""Workers that play one episode after another: threads where agents wait for servers, processes where they compute."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Protocol

from tau_retail_env.errors import TauRetailError
from tau_retail_env.evaluation.facts import Facts
from tau_retail_env.runs.interruption import SIGNALS, signals_held_back
from tau_retail_env.users.llm.background import close_background

STOPPING_S = 5.0
"""Seconds that episodes have to end once the messages they wait for are cancelled."""
CANCEL_EVERY_S = 0.2
"""Seconds until messages are cancelled once more."""
TICK_S = 0.5
"""Seconds after which a wait for an episode yields None."""
PARENT_S = 1.0
"""Seconds between two looks of a process whether its parent lives."""


@dataclass(frozen=True, slots=True)
class Job:
    """One episode to play."""

    task_id: str
    """The task."""
    trial: int
    """Which of its trials, counted from 0."""


@dataclass(frozen=True, slots=True)
class Played:
    """A job that was played."""

    job: Job
    """What was asked for."""
    line: str
    """The episode as the record keeps it."""
    facts: Facts
    """The same in numbers."""


class Player(Protocol):
    """Plays one episode after another; belongs to one worker."""

    def play(self, job: Job) -> Played:
        """Play an episode."""
        ...

    def stop(self) -> None:
        """Called from another thread: the episode under way is to end soon."""
        ...


class StoppedError(Exception):
    """The episode under way was stopped: nothing of it is kept."""


class WorkerPool:
    """Plays jobs with several players at once and hands each episode back as it ends.

    The threads are daemons, for a hanging server must not keep the process.

    Args:
        players: one a worker.
    """

    def __init__(self, players: Sequence[Player]) -> None:
        self._players = players
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._ends: queue.SimpleQueue[Played | BaseException] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(player,), daemon=True) for player in players]

    def play(self, jobs: Iterable[Job], again: Callable[[Played], bool]) -> Generator[Played | None]:
        """Play jobs.

        Args:
            jobs: what to play.
            again: whether an episode is to be played once more.

        Yields:
            Every episode as it ends, and None now and then while none does.

        Raises:
            BaseException: what stopped a player; the other players have been stopped by then.
        """
        under_way = 0
        for job in jobs:
            self._jobs.put(job)
            under_way += 1
        for thread in self._threads:
            thread.start()
        try:
            while under_way:
                try:
                    end = self._ends.get(timeout=TICK_S)
                except queue.Empty:
                    yield None
                    continue
                if isinstance(end, BaseException):
                    raise end
                if again(end):
                    self._jobs.put(end.job)
                else:
                    under_way -= 1
                yield end
        finally:
            self._dismiss()

    def _work(self, player: Player) -> None:
        while (job := self._jobs.get()) is not None and not self._stopped.is_set():
            try:
                self._ends.put(player.play(job))
            except StoppedError:
                return
            except BaseException as error:
                self._ends.put(error)
                return

    def _dismiss(self) -> None:
        """End the workers; what they wait for is cancelled."""
        self._stopped.set()
        for _ in self._threads:
            self._jobs.put(None)
        for player in self._players:
            player.stop()
        end = time.monotonic() + STOPPING_S
        while any(thread.is_alive() for thread in self._threads) and time.monotonic() < end:
            for thread in self._threads:
                thread.join(CANCEL_EVERY_S / len(self._threads))
            if any(thread.is_alive() for thread in self._threads):
                close_background()


class ChildPlayer:
    """A player in a process of its own, forked from this one: what is loaded here is there at once.

    Args:
        make_player: makes the player, in the child.
    """

    def __init__(self, make_player: Callable[[], Player]) -> None:
        context = multiprocessing.get_context("fork")
        self._line, there = context.Pipe()
        self._process = context.Process(target=_serve, args=(there, make_player, os.getpid()), daemon=True)
        with signals_held_back():  # it would answer them as its parent does until it has its own ways
            self._process.start()
        there.close()
        self._is_stopped = False

    def play(self, job: Job) -> Played:
        """Have the child play an episode.

        Raises:
            StoppedError: the child was stopped.
            TauRetailError: what stopped the episode, or a child that died.
        """
        try:
            self._line.send(job)
            answer: Played | BaseException = self._line.recv()
        except (EOFError, OSError) as error:
            if self._is_stopped:
                raise StoppedError from error
            raise TauRetailError(
                f"A process that played {job.task_id} (trial {job.trial}) died: exit status {self._process.exitcode}, "
                "-9 where it was killed or the machine ran out of memory. The same command goes on where this one ended"
            ) from error
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def stop(self) -> None:
        """End the child."""
        self._is_stopped = True
        self._process.terminate()
        self._process.join(STOPPING_S)


def _serve(line: Connection, make_player: Callable[[], Player], parent: int) -> None:
    """Play what comes over the line until it ends, or the parent has."""
    # Ctrl-C reaches every process of the terminal; the parent ends its children itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    player = make_player()
    while True:
        # A child whose parent was killed gets another one, and no job any more.
        while not line.poll(PARENT_S):
            if os.getppid() != parent:
                os._exit(0)
        try:
            job = line.recv()
        except EOFError:
            return
        try:
            line.send(player.play(job))
        except BaseException as error:
            line.send(error if isinstance(error, TauRetailError) else RuntimeError(f"{type(error).__name__}: {error}"))
