"""How the program ends: its exit statuses, and what a signal or a waiting thread does to them."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from tau_retail_env.cli import streams
from tau_retail_env.cli.output import complain

FAILED = 1
"""The command ran and found a failure."""
ERROR = 2
"""The caller has to change something: an unknown name, a missing package, a key that cannot be used."""
INTERRUPTED = 130
"""Ctrl-C, or the end of the input of a person who plays the customer."""
BROKEN_PIPE = 141
"""The reader of the output went away."""


@contextmanager
def sigterm_as_ctrl_c() -> Iterator[None]:
    """SIGTERM ends as Ctrl-C does, so that what was paid for is written down."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def leave(run: Callable[[], int]) -> NoReturn:
    """Run, and end the process with the status of the run: by itself, or if it must be, without its threads.

    ROLL validates in a thread of a pool. After Ctrl-C or an error that thread waits for a Ray that has gone, and Python
    would wait for the thread, for ever.

    Args:
        run: what returns the status.
    """
    streams.keep_open()
    try:
        status: Any = run()
    except SystemExit as error:
        status = error.code
    except BrokenPipeError:
        status = BROKEN_PIPE
    except KeyboardInterrupt:  # a second one, while the first was answered
        status = INTERRUPTED
    except BaseException:
        traceback.print_exc()
        status = FAILED
    for refusal in streams.refusals():
        complain(f"error: {refusal}")
        status = status or ERROR
    waiting = [one for one in threading.enumerate() if one is not threading.current_thread() and _is_waited_for(one)]
    if waiting and isinstance(status, int) and status != 0:
        os._exit(status)
    sys.exit(status)


def _is_waited_for(thread: threading.Thread) -> bool:
    """Whether Python waits for a thread before it ends: also for a daemon where a pool has made it."""
    from concurrent.futures import thread as pools  # takes 30 ms, which no command should wait for

    return not thread.daemon or thread in pools._threads_queues
