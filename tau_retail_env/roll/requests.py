"""The requests of one rollout engine: let in while it is awake, broken off when it is put to sleep."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import TypeVar

Answer = TypeVar("Answer")

PROXY = "tau_retail"
"""What `llm_proxy.proxy_type` says where environments make them to the engine's worker itself."""
LOOK_S = 0.01
"""Seconds between two looks whether all requests have ended."""


class Requests:
    """Holds requests back while an engine sleeps or its weights change; all calls in one event loop.

    At first the engine sleeps.
    """

    def __init__(self) -> None:
        self._awake = asyncio.Event()
        self._asked: set[str] = set()

    async def ask(self, engine: Callable[[str], Awaitable[Answer]]) -> Answer:
        """Make a request as soon as the engine is awake.

        Args:
            engine: makes it, under a name of its own.

        Returns:
            What the engine answers.
        """
        await self._awake.wait()
        name = uuid.uuid4().hex
        self._asked.add(name)
        try:
            return await engine(name)
        finally:
            self._asked.discard(name)

    def let_in(self) -> None:
        """Let requests in: the engine is awake."""
        self._awake.set()

    async def break_off(self, abort: Callable[[list[str]], Awaitable[None]]) -> None:
        """Let no request in, break off those under way, and wait until they have ended.

        Args:
            abort: has the engine end the requests of these names; may be told again of those that it has ended.
        """
        self._awake.clear()
        while self._asked:
            await abort(sorted(self._asked))  # again, since the engine may not have heard of the newest yet
            await asyncio.sleep(LOOK_S)
