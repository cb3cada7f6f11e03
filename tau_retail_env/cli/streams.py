"""Standard output and standard error where they take nothing: closed by the caller, or on a disk that is full."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

NAMES = {"stdout": "standard output", "stderr": "standard error"}
"""The outputs that a command has, as `sys` and as a person calls them."""


class Output(io.TextIOWrapper):
    """An output that goes nowhere from the first word on that the system refuses, so that its command goes on."""

    refused: str | None = None
    """What the system said when it refused a word; None while it takes them."""

    def write(self, text: str) -> int:
        """Write a text, or let it go nowhere.

        Args:
            text: what is said.

        Raises:
            BrokenPipeError: the reader went away.
        """
        with self._refusable():
            super().write(text)
        return len(text)

    def flush(self) -> None:
        """Hand on what was written.

        Raises:
            BrokenPipeError: the reader went away.
        """
        with self._refusable():
            super().flush()

    @contextmanager
    def _refusable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            # The descriptor, not `sys.stdout`: what is still buffered would fail once more when Python exits.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            if isinstance(error, BrokenPipeError):
                raise
            self.refused = error.strerror or str(error)


def keep_open() -> None:
    """Put outputs that refuse nothing into `sys`; Python has None there where the caller has closed one (`>&-`)."""
    for name in NAMES:
        old = getattr(sys, name)
        if old is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(old, io.TextIOWrapper):
            kept = {each: getattr(old, each) for each in ("encoding", "errors", "line_buffering", "write_through")}
            setattr(sys, name, Output(old.buffer, **kept))


def refusals() -> list[str]:
    """What outputs have refused since `keep_open`, each as a sentence without its stop."""
    found = []
    for name, in_words in NAMES.items():
        output = getattr(sys, name)
        with suppress(BrokenPipeError):
            output.flush()
        if isinstance(output, Output) and output.refused is not None:
            found.append(f"{in_words} could not be written: {output.refused}")
    return found
