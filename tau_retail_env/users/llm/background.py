"""The event loop in which every request of a process to a customer's model runs, whichever thread asks."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from typing import Any, TypeVar

Result = TypeVar("Result")

CLOSING_S = 5.0
"""Seconds that the process waits at its exit for requests to be cancelled."""

LOOKING_S = 1.0
"""Seconds after which a waiting thread checks that the loop still runs."""


class Background:
    """An event loop in a thread of its own, and what lives in it: one thing for each key, made when first asked for."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._things: dict[Hashable, Any] = {}
        self._thread = threading.Thread(target=self._loop.run_forever, name="tau-retail-customers", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine in the loop; blocks the calling thread. Interrupted, it calls the coroutine off.

        Raises:
            CancelledError: the loop was closed meanwhile, so that nothing would ever come back.
        """
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            # In steps: a loop that another thread has closed would never finish the future.
            while not concurrent.futures.wait([future], timeout=LOOKING_S).done:
                if not self._thread.is_alive() and not future.done():
                    coroutine.close()
                    raise concurrent.futures.CancelledError
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def shared(self, key: Hashable, make: Callable[[], Result]) -> Result:
        """The shared object of a key, made at its first use; to be called within the loop."""
        if key not in self._things:
            self._things[key] = make()
        return self._things[key]

    def close(self) -> None:
        """Cancel what is under way, close every thing that can be closed, end the thread."""
        if self._loop.is_running():
            asyncio.run_coroutine_threadsafe(self._close_all(), self._loop)
            self._thread.join(CLOSING_S)
        if not self._thread.is_alive():
            self._loop.close()

    async def _close_all(self) -> None:
        try:
            others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            for thing in self._things.values():
                closed = thing.close() if hasattr(thing, "close") else None
                if isinstance(closed, Awaitable):
                    await closed
        finally:
            self._loop.stop()


class _OfThisProcess:
    """The process's one `Background`; a forked child makes its own and leaves its parent's alone."""

    def __init__(self) -> None:
        self._alone = threading.Lock()
        self._current: Background | None = None
        self._of_parents: list[Background] = []
        os.register_at_fork(after_in_child=self._forget)
        atexit.register(self.close)

    def get(self) -> Background:
        with self._alone:
            if self._current is None:
                self._current = Background()
            return self._current

    def close(self) -> None:
        with self._alone:
            background, self._current = self._current, None
        if background is not None:
            background.close()

    def _forget(self) -> None:
        """In a forked child: the loop's thread stayed with the parent, and its sockets are the parent's to close."""
        self._alone = threading.Lock()
        if self._current is not None:
            self._of_parents.append(self._current)
        self._current = None


_of_this_process = _OfThisProcess()


def background() -> Background:
    """The one event loop of this process for customers."""
    return _of_this_process.get()


def close_background() -> None:
    """End this process's event loop and close its connections; the next request makes another."""
    _of_this_process.close()
