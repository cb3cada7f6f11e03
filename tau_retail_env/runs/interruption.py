"""A run that ends early: at a first signal it finishes what it may not leave half done, at a second it ends at once.

It says how to go on. A lost reader ends no run.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from tau_retail_env.runs.resume import CONFIG

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Those that end a run: Ctrl-C's, that of `kill` and batch systems, and that of a terminal or connection which closes.
A run ends with 128 and the signal's number: 130, 143, 129."""
AGAIN_S = 1.0
"""Seconds after the first signal in which others are taken for the same: `timeout` and batch systems send one to a
process and once more to all of its group."""


class Interruption:
    """What signals have asked of a run. They end it by an exception, so that everything is closed on the way.

    A signal ends a run where it is, but within `finishing`: there the first one waits for `end_if_asked`.

    Args:
        say: takes the line that says so.
    """

    is_clean = False
    """Whether the run was ended where nothing was half done, so that what it has learnt can be saved."""
    finishes = False
    """Whether the first signal waits now."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._number: int | None = None
        self._asked_at = 0.0
        self._is_lost = False

    @property
    def is_asked(self) -> bool:
        """Whether a signal has come."""
        return self._number is not None or self._is_lost

    @property
    def status(self) -> int:
        """The exit status of a run that a signal has ended: by the last one."""
        return 128 + (self._number or signal.SIGTERM)

    @contextmanager
    def finishing(self) -> Iterator[None]:
        """What runs within is not cut short by the first signal, and asks `end_if_asked` where it may end."""
        with self._until(finishes=True):
            yield

    @contextmanager
    def leaving(self) -> Iterator[None]:
        """What runs within `finishing`, and may be cut short all the same: it changes no weights.

        Raises:
            KeyboardInterrupt, SystemExit: as `end_if_asked`.
        """
        with self._until(finishes=False):
            self.end_if_asked()
            yield

    def end_if_asked(self) -> None:
        """End the run if a signal has come; to be called where nothing is half done.

        Raises:
            KeyboardInterrupt: it was SIGINT.
            SystemExit: it was another; with 128 and its number.
        """
        if self._number is not None:
            self.is_clean = True
            _end(self._number)

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Handle one of `SIGNALS`."""
        now = time.monotonic()
        if self._number is None and not self._is_lost:
            self._number, self._asked_at = number, now
            if not self.finishes:
                self.end_if_asked()
            with suppress(RuntimeError):  # the signal came while a line was being written: the stream is not reentrant
                self._say("interrupted: this step is finished and saved first; once more ends the run at once")
        elif self._is_lost or now - self._asked_at > AGAIN_S:
            self.is_clean = False
            self._number = number
            _end(number)

    def end_lost(self) -> None:
        """End the run at once, as SIGTERM does, from another thread: what it does cannot be finished."""
        self._is_lost = True
        os.kill(os.getpid(), signal.SIGTERM)

    @contextmanager
    def _until(self, *, finishes: bool) -> Iterator[None]:
        before, self.finishes = self.finishes, finishes
        try:
            yield
        finally:
            self.finishes = before


@contextmanager
def resumable(folder: Path, say: Callable[[str], None]) -> Iterator[Interruption]:
    """Let `SIGNALS` end what runs within by an exception, and say how to go on after that; those ignored stay so.

    Args:
        folder: the run's, claimed.
        say: takes each line for the screen.

    Yields:
        What says where the run is not to be cut short.

    Raises:
        SystemExit: with 128 and the signal's number, where it was another than SIGINT.
    """
    interruption = Interruption(say)
    before = {}
    if threading.current_thread() is threading.main_thread():  # others cannot set a handler
        heeded = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, interruption.handle) for number in heeded}
    try:
        yield interruption
    except (KeyboardInterrupt, SystemExit) as ended:
        if (folder / CONFIG).is_file():
            say(f"interrupted; resume with: resume={folder}")
        if isinstance(ended, SystemExit) and interruption.is_asked:
            raise SystemExit(interruption.status) from None  # Ray makes another status of it where it waits
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def signals_held_back() -> Iterator[None]:
    """Signals that end a run wait meanwhile; a process that is started within holds them back until it says otherwise.

    So a signal to all processes of a run is answered by the first alone, also while the others start.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with_parent() -> None:
    """In a thread of a process that multiprocessing has started: end it when its parent ends, however that does."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "multiprocessing knows who has started this process"
    parent.join()
    os._exit(1)


def terminate(number: int, frame: FrameType | None) -> None:
    """Handle SIGTERM: end by an exception, so that everything is closed on the way."""
    _end(signal.SIGTERM)


def _end(number: int) -> NoReturn:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)


def say(line: str) -> None:
    """Print a line; once nobody reads them any more, lines go nowhere, and the run goes on.

    Args:
        line: without its end.
    """
    try:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            # The descriptor, not `sys.stdout`: libraries and children write to it as well.
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)
