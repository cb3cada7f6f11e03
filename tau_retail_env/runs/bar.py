"""How far a long piece of work has come: a bar in a terminal, elsewhere a plain line now and then."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import Any

from tqdm import tqdm

from tau_retail_env.runs.progress import in_words

LINE_EVERY_S = 30.0
"""Seconds between two lines where there is no terminal."""


class Bar(tqdm):
    """A bar of tqdm's, which outside a terminal (a pipe, a log, CI) says plain lines instead of none.

    Args:
        named: as `tqdm` takes them; `unit` in the singular.
    """

    def __init__(self, *, unit: str, desc: str = "", **named: Any) -> None:
        super().__init__(**{"unit": unit, "desc": desc, "disable": None} | named)
        if self.disable:  # then tqdm keeps neither
            self.unit, self.desc, self.postfix = unit, desc, None
        self._begin = self._told_at = time.monotonic()
        self._first = self.n

    def update(self, n: float = 1) -> bool | None:
        """Move on.

        Args:
            n: how much was done since the last call; 0 where only time has passed.
        """
        if not self.disable:
            shown: bool | None = super().update(n)
            return shown
        self.n += n
        now = time.monotonic()
        if now - self._told_at >= LINE_EVERY_S:
            self._told_at = now
            with suppress(OSError):  # a lost reader ends no run
                sys.stderr.write(f"{self._line(now - self._begin)}\n")
                sys.stderr.flush()
        return None

    def _line(self, seconds: float) -> str:
        """How far it is after so many seconds."""
        of = f" of {self.total}" if self.total is not None else ""
        parts = [f"{self.n}{of} {self.unit}s after {in_words(seconds)}"]
        if self.total is not None and self._first < self.n < self.total:
            left_s = seconds * (self.total - self.n) / (self.n - self._first)
            parts.append(f"about {in_words(left_s)} left")
        if self.postfix:
            parts.append(self.postfix)
        return (f"{self.desc}: " if self.desc else "") + ", ".join(parts)
