"""The circuit breaker opens for a dead server, never for one that fails now and then."""

from __future__ import annotations

import heapq
import random

import pytest

from tau_retail_env.users.llm.backoff import FIRST_BACKOFF_S, LONGEST_BACKOFF_S
from tau_retail_env.users.llm.breaker import FAILURES_TO_OPEN, CircuitBreaker


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def admitted(breaker: CircuitBreaker) -> int:
    attempt = breaker.admit()
    assert attempt is not None
    return attempt


def opened(clock: Clock) -> CircuitBreaker:
    breaker = CircuitBreaker(clock)
    for _ in range(FAILURES_TO_OPEN):
        breaker.failed(admitted(breaker))
    return breaker


def test_a_dead_server_is_soon_asked_no_more():
    breaker = opened(Clock())
    assert breaker.is_open
    assert breaker.refuses
    assert breaker.admit() is None


def test_one_attempt_at_a_time_tries_whether_the_server_is_back():
    clock = Clock()
    breaker = opened(clock)
    clock.now = FIRST_BACKOFF_S
    trial = admitted(breaker)
    assert breaker.admit() is None
    breaker.succeeded(trial)
    assert not breaker.is_open
    assert breaker.admit() is not None


def test_trials_become_rarer_up_to_a_limit():
    clock = Clock()
    breaker = opened(clock)
    waits = []
    for _ in range(8):
        waits.append(breaker.wait_s)
        clock.now += breaker.wait_s
        breaker.failed(admitted(breaker))
    assert waits[:3] == pytest.approx([FIRST_BACKOFF_S, 2 * FIRST_BACKOFF_S, 4 * FIRST_BACKOFF_S])
    assert waits[-1] == pytest.approx(LONGEST_BACKOFF_S)
    assert breaker.failed_trials == 8


def test_a_trial_that_is_called_off_leaves_room_for_another():
    clock = Clock()
    breaker = opened(clock)
    clock.now = FIRST_BACKOFF_S
    breaker.dropped(admitted(breaker))
    assert breaker.admit() is not None


def test_an_attempt_from_before_is_no_trial():
    clock = Clock()
    breaker = CircuitBreaker(clock)
    late, answered = admitted(breaker), admitted(breaker)
    for _ in range(FAILURES_TO_OPEN):
        breaker.failed(admitted(breaker))
    assert breaker.is_open
    clock.now = FIRST_BACKOFF_S
    trial = admitted(breaker)
    breaker.failed(late)
    assert (breaker.failed_trials, breaker.admit()) == (0, None)
    breaker.succeeded(answered)
    assert not breaker.is_open
    breaker.failed(trial)
    assert breaker.failed_trials == 0


def test_failures_that_arrive_before_slower_answers_do_not_open_it():
    breaker = CircuitBreaker(Clock())
    attempts = [admitted(breaker) for _ in range(200)]
    for attempt in attempts[:60]:
        breaker.failed(attempt)
    assert not breaker.is_open


@pytest.mark.parametrize("fault_s", [0.001, 1.0, 5.0])
@pytest.mark.parametrize("calls_at_once", [1, 64, 200])
def test_thirty_percent_of_faults_never_open_it(fault_s, calls_at_once):
    """Faults that are quicker, as quick, and slower than answers, which take a second."""
    clock, draw = Clock(), random.Random(calls_at_once)
    breaker = CircuitBreaker(clock)
    under_way: list[tuple[float, int, bool]] = []
    for _ in range(20_000):
        while len(under_way) == calls_at_once:
            clock.now, attempt, has_failed = heapq.heappop(under_way)
            (breaker.failed if has_failed else breaker.succeeded)(attempt)
        attempt, has_failed = admitted(breaker), draw.random() < 0.3
        heapq.heappush(under_way, (clock.now + (fault_s if has_failed else 1.0), attempt, has_failed))
        assert not breaker.is_open
