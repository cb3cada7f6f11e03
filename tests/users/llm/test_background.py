"""One event loop for all threads of a process, gone when it is closed."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor

import pytest

from tau_retail_env.users.llm.background import Background, background, close_background


@pytest.fixture
def loop() -> Iterator[Background]:
    made = Background()
    yield made
    made.close()


def test_threads_run_side_by_side_in_one_loop(loop):
    arrived: list[str] = []
    all_there = asyncio.Event()

    async def meet() -> str:
        arrived.append(threading.current_thread().name)
        if len(arrived) == 8:
            all_there.set()
        await asyncio.wait_for(all_there.wait(), 10)
        return threading.current_thread().name

    with ThreadPoolExecutor(8) as threads:
        names = list(threads.map(lambda _: loop.run(meet()), range(8)))
    assert set(names) == {"tau-retail-customers"}


def test_what_goes_wrong_reaches_the_caller(loop):
    async def fail() -> None:
        raise ValueError("so be it")

    with pytest.raises(ValueError, match="so be it"):
        loop.run(fail())


def test_a_thing_is_made_once_and_closed_with_the_loop():
    class Thing:
        closed = 0

        async def close(self) -> None:
            Thing.closed += 1

    async def both(loop: Background) -> tuple[Thing, Thing]:
        return loop.shared("thing", Thing), loop.shared("thing", Thing)

    loop = Background()
    first, second = loop.run(both(loop))
    loop.close()
    assert first is second
    assert Thing.closed == 1


def test_ctrl_c_calls_off_what_is_under_way(loop):
    called_off = threading.Event()

    async def hang() -> None:
        try:
            threading.Timer(0.05, interrupt).start()
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            called_off.set()
            raise

    def interrupt() -> None:
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        loop.run(hang())
    assert called_off.wait(10)


def test_a_process_has_one_until_it_is_closed():
    first = background()
    assert background() is first
    close_background()
    assert background() is not first
    close_background()


def test_whoever_asks_as_the_loop_ends_is_not_left_waiting():
    ending = Background()
    ending._loop.call_soon_threadsafe(ending._loop.stop)
    ending._thread.join(5)

    async def answer():
        return 1

    with ThreadPoolExecutor(1) as pool, pytest.raises(CancelledError):
        pool.submit(ending.run, answer()).result(timeout=10)
