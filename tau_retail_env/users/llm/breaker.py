"""The circuit breaker of an endpoint: whether a server that keeps failing is asked at all."""

from __future__ import annotations

import time
from collections.abc import Callable

from tau_retail_env.users.llm.backoff import longest_backoff_s

FAILURES_TO_OPEN = 20
"""In a row; at a fault rate of 30 % once in 3e10 attempts."""
TRIAL_POLL_S = 0.05
"""Seconds between two looks at whether a trial has ended."""


class CircuitBreaker:
    """Counts an endpoint's failures in a row; after too many, one request at a time tries whether it is back.

    It opens when the failures in a row are `FAILURES_TO_OPEN` or more and outnumber the attempts still under way: a
    fault is often quicker than an answer, so that many calls begun at once see their faults first. Open, it
    lets one attempt through after each pause (`longest_backoff_s` of the trials that failed); any success closes it.

    Not safe for threads: it lives in the event loop.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._in_a_row = 0
        self._attempts = 0
        self._under_way = 0
        self._trials_in_a_row = 0
        self._next_trial = 0.0
        self._trial: int | None = None

    is_open = False
    """Whether the server counts as down."""
    failed_trials = 0
    """How often the server was tried while open, and failed."""

    @property
    def refuses(self) -> bool:
        """Whether `admit` would refuse."""
        return self.is_open and (self._trial is not None or self._clock() < self._next_trial)

    @property
    def wait_s(self) -> float:
        """Seconds until it is worth asking `admit` again."""
        return max(self._next_trial - self._clock(), TRIAL_POLL_S)

    def admit(self) -> int | None:
        """Let an attempt through, or not.

        Returns:
            Its number, to be given to `succeeded`, `failed` or `dropped` when it ends; None if it is refused.
        """
        if self.refuses:
            return None
        self._attempts += 1
        self._under_way += 1
        if self.is_open:
            self._trial = self._attempts
        return self._attempts

    def succeeded(self, attempt: int) -> None:
        """The server answered, whatever it said."""
        self.dropped(attempt)
        self._in_a_row = 0
        self.is_open = False
        self._trial = None

    def failed(self, attempt: int) -> None:
        """The server did not answer as a server should."""
        is_trial = attempt == self._trial
        self.dropped(attempt)
        self._in_a_row += 1
        if is_trial:
            self.failed_trials += 1
            self._trials_in_a_row += 1
            self._next_trial = self._clock() + longest_backoff_s(1 + self._trials_in_a_row)
        elif not self.is_open and self._in_a_row >= FAILURES_TO_OPEN and self._in_a_row > self._under_way:
            self.is_open = True
            self._trials_in_a_row = 0
            self._next_trial = self._clock() + longest_backoff_s(1)

    def dropped(self, attempt: int) -> None:
        """The attempt was cancelled: it says nothing about the server."""
        self._under_way -= 1
        if attempt == self._trial:
            self._trial = None
