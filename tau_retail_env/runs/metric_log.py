"""A run's metrics: one row a step in metrics.jsonl, on both engines, and the trackers that get the same."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.runs.episode_table import Row, row_of, sampled
from tau_retail_env.runs.files import append_row, read_rows, read_rows_and_damage, write_atomically, writing


class Tracker(Protocol):
    """Something that keeps one row of numbers per step, and tables of episodes."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Keep the numbers of a step."""
        ...

    def show(self, episodes: Sequence[Row], step: int) -> None:
        """Keep a table of episodes that were played to validate a step."""
        ...

    def close(self) -> None:
        """Finish writing."""
        ...


class MetricLog:
    """Writes one row per step, to the file first.

    Args:
        path: the file.
        trackers: what else gets each row.
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
        row = number_row(step, values)
        append_row(self._path, row)
        self._track(row)

    def complete(self, values: Mapping[str, Any]) -> None:
        """Add numbers to the last row, which was written without them.

        Args:
            values: numbers by ROLL's name.
        """
        *before, last = self.rows()
        row = number_row(last.pop("step"), {**last, **values})
        write_rows(self._path, [*before, row])
        self._track(row)

    def show(self, step: int, trajectories: Iterable[Trajectory]) -> None:
        """Tell the trackers some episodes of a validation; the file has none.

        Args:
            step: the step that was validated.
            trajectories: its episodes.
        """
        if self._trackers:
            shown = sampled(row_of(one, step) for one in trajectories)
            for tracker in self._trackers:
                tracker.show(shown, step)

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


def number_row(step: int, values: Mapping[str, Any]) -> dict[str, Any]:
    """A row as it is written: sorted, numbers alone; JSON has no infinities, what is not a number is null.

    Args:
        step: the step.
        values: what was measured; what is neither a number nor None is left out.
    """
    numbers = {name: _plain(values[name]) for name in sorted(values) if _is_number(values[name])}
    return {"step": step} | numbers


def cut_after(path: Path, step: int) -> list[str]:
    """Remove the rows after a step, which a resumed run will write again, and lines that are no rows.

    Args:
        path: the file; where a line is damaged, the file as it was is kept beside it.
        step: the last step whose row stays.

    Returns:
        What was removed, and what was damaged, in words; nothing where all rows stay.
    """
    if not path.is_file():
        return []
    rows, damage = read_rows_and_damage(path)
    whole = [row for row in rows if isinstance(row.get("step"), int)]
    damage += ["a row has no step"] * (len(rows) - len(whole))
    kept = [row for row in whole if row["step"] <= step]
    notes = []
    if damage:
        copy = path.with_name(f"{path.name}.damaged")
        with writing(copy):
            shutil.copyfile(path, copy)
        notes.append(
            f"{path}: {'; '.join(damage)}. Left out, the other rows stay; the file as it was is {copy.name} beside it"
        )
    if removed := sorted(row["step"] for row in whole if row["step"] > step):
        steps = f"step {removed[0]}" if removed[0] == removed[-1] else f"steps {removed[0]} to {removed[-1]}"
        notes.append(f"removed, they will be written again: the rows of {steps} in {path.name}")
    write_rows(path, kept)
    return notes


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a whole file of rows in the place of the old one."""
    write_atomically(path, "".join(json.dumps(row) + "\n" for row in rows))


def _is_number(value: Any) -> bool:
    return value is None or (hasattr(value, "__float__") and not isinstance(value, bool))


def _plain(value: Any) -> int | float | None:
    if value is None or isinstance(value, int):
        return value
    return float(value) if math.isfinite(value) else None
