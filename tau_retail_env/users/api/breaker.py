"""The circuit breaker of an endpoint: whether a server that keeps failing is asked at all."""

from __future__ import annotations

import time
from collections.abc import Callable

FAILURES_TO_OPEN = 20
"""In a row; at a fault rate of 30 % once in 3e10 attempts."""
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 8.0


class CircuitBreaker:
    """Counts an endpoint's failures in a row; after too many, one request at a time tries whether it is back.

    It opens when the failures in a row are `FAILURES_TO_OPEN` or more and outnumber the attempts still under way: a
    fault is often quicker than an answer, so that many calls begun at once see their faults first. Open, it
    lets one attempt through after each pause (pauses double from `FIRST_PAUSE_S` to `LONGEST_PAUSE_S`); any success
    closes it.

    Not safe for threads: it lives in the event loop.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._in_a_row = 0
        self._under_way = 0
        self._pause_s = 0.0
        self._next_trial = 0.0
        self._trial_under_way = False

    openings = 0
    """How often it opened."""
    failed_trials = 0
    """How often the server was tried while open, and failed."""

    @property
    def is_open(self) -> bool:
        """Whether the server counts as down."""
        return self._pause_s > 0

    @property
    def refuses(self) -> bool:
        """Whether `admit` would say no."""
        return self.is_open and (self._trial_under_way or self._clock() < self._next_trial)

    @property
    def wait_s(self) -> float:
        """Seconds until it is worth asking `admit` again."""
        return max(self._next_trial - self._clock(), FIRST_PAUSE_S / 10)

    def admit(self) -> bool:
        """Whether an attempt may be made now; one that is admitted ends in `succeeded`, `failed` or `dropped`."""
        if self.refuses:
            return False
        self._trial_under_way = self.is_open
        self._under_way += 1
        return True

    def succeeded(self) -> None:
        """The server answered, whatever it said."""
        self._under_way -= 1
        self._in_a_row = 0
        self._pause_s = 0.0
        self._trial_under_way = False

    def failed(self) -> None:
        """The server did not answer as a server should."""
        self._under_way -= 1
        self._in_a_row += 1
        if self._trial_under_way:
            self._trial_under_way = False
            self.failed_trials += 1
            self._open(min(2 * self._pause_s, LONGEST_PAUSE_S))
        elif not self.is_open and self._in_a_row >= FAILURES_TO_OPEN and self._in_a_row > self._under_way:
            self.openings += 1
            self._open(FIRST_PAUSE_S)

    def dropped(self) -> None:
        """The attempt was called off: it says nothing about the server."""
        self._under_way -= 1
        self._trial_under_way = False

    def _open(self, pause_s: float) -> None:
        self._pause_s = pause_s
        self._next_trial = self._clock() + pause_s
