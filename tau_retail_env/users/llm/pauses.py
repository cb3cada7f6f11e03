"""How long to wait before a server that failed is asked again: longer after each failure, up to a limit."""

from __future__ import annotations

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 8.0


def longest_pause_s(failures: int) -> float:
    """The longest pause after so many failures in a row: doubles from `FIRST_PAUSE_S` to `LONGEST_PAUSE_S`.

    Args:
        failures: 1 or more.
    """
    return min(FIRST_PAUSE_S * 2.0 ** min(failures - 1, 64), LONGEST_PAUSE_S)
