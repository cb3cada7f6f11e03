"""How many requests go to an endpoint at once, over all threads and processes of one user on one machine."""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

POLL_S = 0.01
"""Longest pause between two looks for a free slot; while all are taken, every process looks as often as any other."""


class Slots:
    """Slots of an endpoint: slot n is byte n of a file, taken by a POSIX lock, so that a process that dies frees its.

    Within a process the callers queue in order. Between processes the first in each queue looks again after a random
    pause, so that none starves. Lives in one event loop, one object per file and process: POSIX locks belong to the
    process.

    Args:
        path: the file, shared by the processes.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._held: set[int] = set()
        self._first_in_queue = asyncio.Lock()
        self._random = random.Random()

    @asynccontextmanager
    async def slot(self, max_concurrency: int) -> AsyncIterator[None]:
        """Hold one of the first `max_concurrency` slots."""
        number = await self._take(max_concurrency)
        try:
            yield
        finally:
            self._held.discard(number)
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, number)

    def close(self) -> None:
        """Free all slots of this process."""
        os.close(self._file)

    async def _take(self, max_concurrency: int) -> int:
        async with self._first_in_queue:
            while True:
                # From a random place, or all processes would fight for slot 0.
                first = self._random.randrange(max_concurrency)
                for place in range(first, first + max_concurrency):
                    number = place % max_concurrency
                    if number not in self._held and self._try(number):
                        return number
                await asyncio.sleep(self._random.uniform(0, POLL_S))

    def _try(self, number: int) -> bool:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
        # POSIX lets a system say EAGAIN or EACCES of a lock that another process holds.
        except (BlockingIOError, PermissionError):
            return False
        self._held.add(number)
        return True
