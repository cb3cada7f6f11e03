"""How long a server's answer may be: what is longer is not read to its end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any


class AnswerTooLongError(Exception):
    """An answer that is longer than it may be, or packed, so that nobody knows how long it is."""


def bounded(most_mb: float) -> Callable[[Any], Awaitable[None]]:
    """A hook for the HTTP client that bounds the body of every answer, an error's included.

    Args:
        most_mb: megabytes (10^6 bytes) that a body may have.

    Returns:
        The hook for the event "response". A longer or a packed body, which was not asked for, then raises
        AnswerTooLongError while it is read.
    """

    async def bound(response: Any) -> None:
        bound_now(response)

    bound_now = bounded_at_once(most_mb)
    return bound


def bounded_at_once(most_mb: float) -> Callable[[Any], None]:
    """The same for a client that blocks.

    Args:
        most_mb: megabytes (10^6 bytes) that a body may have.
    """

    def bound(response: Any) -> None:
        packing = response.headers.get("content-encoding", "identity")
        if packing.lower() != "identity":
            raise AnswerTooLongError("a packed body, which was not asked for")
        response.stream = _bounded_stream(response.stream, most_mb)

    return bound


def _bounded_stream(stream: Any, most_mb: float) -> Any:
    """The stream, which ends in an error behind so many megabytes."""

    def checked(size: int) -> None:
        if size > most_mb * 1e6:
            raise AnswerTooLongError(f"an answer of more than {most_mb:g} MB (user.max_response_mb)")

    class Bounded(type(stream)):  # type: ignore[misc]  # httpx or httpx2, whichever openai has, wants its own kind
        def __init__(self) -> None:
            """Wrap the stream."""

        async def __aiter__(self) -> AsyncIterator[bytes]:
            size = 0
            async for chunk in stream:
                checked(size := size + len(chunk))
                yield chunk

        async def aclose(self) -> None:
            await stream.aclose()

        def __iter__(self) -> Iterator[bytes]:
            size = 0
            for chunk in stream:
                checked(size := size + len(chunk))
                yield chunk

        def close(self) -> None:
            stream.close()

    return Bounded()
