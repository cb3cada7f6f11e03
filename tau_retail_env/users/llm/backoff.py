"""How long to wait before a server that failed is asked again: longer after each failure, up to a limit."""

from __future__ import annotations

FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 8.0


def longest_backoff_s(failures: int) -> float:
    """The longest backoff after so many failures in a row: doubles from `FIRST_BACKOFF_S` to `LONGEST_BACKOFF_S`.

    Args:
        failures: 1 or more.
    """
    return min(FIRST_BACKOFF_S * 2.0 ** min(failures - 1, 64), LONGEST_BACKOFF_S)
