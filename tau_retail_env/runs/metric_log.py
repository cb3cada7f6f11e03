"""A run's metrics: one row a step in metrics.jsonl, on both engines, and the trackers that are told the same."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from tau_retail_env.runs.files import append_row, read_rows, write_atomically


class Tracker(Protocol):
    """Something that keeps one row of numbers per step."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Keep the numbers of a step."""
        ...

    def close(self) -> None:
        """Finish writing."""
        ...


class MetricLog:
    """Writes one row per step, to the file first.

    Args:
        path: the file.
        trackers: what else is told each row.
    """

    def __init__(self, path: Path, trackers: Sequence[Tracker] = ()) -> None:
        self._path = path
        self._trackers = trackers

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Append the row of a step.

        Args:
            step: the step, 0 before training.
            values: numbers by ROLL's name; seconds of the clock stand under time/ only.

        Raises:
            WriteError: the disk does not allow it.
        """
        row = row_of(step, values)
        append_row(self._path, row)
        self._track(row)

    def complete(self, values: Mapping[str, Any]) -> None:
        """Add numbers to the last row, which was written without them.

        Args:
            values: numbers by ROLL's name.
        """
        *before, last = self.rows()
        row = row_of(last.pop("step"), {**last, **values})
        write_rows(self._path, [*before, row])
        self._track(row)

    def rows(self) -> list[dict[str, Any]]:
        """Every row so far."""
        return read_rows(self._path)

    def close(self) -> None:
        """Finish writing."""
        for tracker in self._trackers:
            tracker.close()

    def _track(self, row: Mapping[str, Any]) -> None:
        known = {name: value for name, value in row.items() if name != "step" and value is not None}
        for tracker in self._trackers:
            tracker.log(known, row["step"])


def row_of(step: int, values: Mapping[str, Any]) -> dict[str, Any]:
    """A row as it is written: sorted, numbers alone; JSON has no infinities, what is not a number is null.

    Args:
        step: the step.
        values: what was measured; what is neither a number nor None is left out.
    """
    numbers = {name: _plain(values[name]) for name in sorted(values) if _is_number(values[name])}
    return {"step": step} | numbers


def cut_after(path: Path, step: int) -> None:
    """Remove the rows after a step, which a run that goes on will write again."""
    if path.is_file():
        write_rows(path, [row for row in read_rows(path) if row["step"] <= step])


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a whole file of rows in the place of the old one."""
    write_atomically(path, "".join(json.dumps(row) + "\n" for row in rows))


def _is_number(value: Any) -> bool:
    return value is None or (hasattr(value, "__float__") and not isinstance(value, bool))


def _plain(value: Any) -> int | float | None:
    if value is None or isinstance(value, int):
        return value
    return float(value) if math.isfinite(value) else None
