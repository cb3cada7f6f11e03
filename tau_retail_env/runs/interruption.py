"""A run that ends early: SIGTERM ends it as Ctrl-C does, and it says how to go on. A lost reader ends no run."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from tau_retail_env.runs.folder import RunFolder

TERMINATED = 143
"""Exit status of a run that SIGTERM has ended."""


@contextmanager
def resumable(folder: RunFolder, say: Callable[[str], None]) -> Iterator[None]:
    """Let SIGTERM end what runs within by an exception, and say how to go on after it or Ctrl-C.

    Args:
        folder: the run's folder, claimed.
        say: takes each line for the screen.

    Raises:
        SystemExit: with `TERMINATED`, at SIGTERM.
    """
    is_main = threading.current_thread() is threading.main_thread()  # others cannot set a handler
    before = signal.signal(signal.SIGTERM, terminate) if is_main else None
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        if folder.config.is_file():
            say(f"interrupted; resume with: resume={folder.path}")
        raise
    finally:
        if is_main:
            signal.signal(signal.SIGTERM, before)


def terminate(number: int, frame: FrameType | None) -> None:
    """Handle SIGTERM: end by an exception, so that everything is closed on the way."""
    raise SystemExit(TERMINATED)


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
