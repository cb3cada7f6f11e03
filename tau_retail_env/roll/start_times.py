"""How far the start of a run has come: a line for each part, with the seconds since the command."""

from __future__ import annotations

import time
from collections.abc import Callable


class StartTimes:
    """Says what has been reached.

    Args:
        say: takes each line.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def __call__(self, what: str) -> None:
        """Say that something has been reached.

        Args:
            what: a sentence, such as "Ray is up".
        """
        self._say(f"[tau-retail] {what} after {since_command():.0f} s")


def since_command() -> float:
    """Seconds since this process was started."""
    import psutil  # type: ignore[import-untyped]

    return time.time() - float(psutil.Process().create_time())
