"""Where ROLL's metrics go besides its own tracker: the run's metrics.jsonl, one row a step, as of the local engine."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tau_retail_env.runs.files import append_row, read_rows, write_atomically

NAME = "tau_retail"
"""Name under which the tracker stands in ROLL's registry."""


class JsonlTracker:
    """Writes each step's row to a file first, then hands it to ROLL's own tracker.

    A resumed ROLL tells its old rows again: those that the file has already are not written twice.

    Args:
        config: ROLL's configuration as a dict, for its own tracker.
        path: the file.
        tracker: name of ROLL's own tracker.
        tracker_kwargs: what that one is given.
    """

    def __init__(self, config: dict[str, Any], *, path: str, tracker: str, tracker_kwargs: Mapping[str, Any]) -> None:
        from roll.utils.tracking import create_tracker

        self._path = Path(path)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._last = max((row["step"] for row in read_rows(self._path)), default=-1)
        self._inner = create_tracker(tracker, config, **dict(tracker_kwargs))

    def log(self, values: Mapping[str, Any], step: int | None = None, **kwargs: Any) -> None:
        """Keep the numbers of a step.

        Args:
            values: numbers by ROLL's name; the `@…` that says how ROLL averages one is left out.
            step: ROLL's step, from 0.
            kwargs: for ROLL's own tracker.
        """
        if step is not None and step > self._last:
            append_row(self._path, _row(step, values))
            self._last = step
        self._inner.log(dict(values), step=step, **kwargs)

    def finish(self) -> None:
        """Finish writing."""
        self._inner.finish()


def register() -> None:
    """Make the tracker known to ROLL in this process, which is the one that tracks."""
    from roll.utils.tracking import tracker_registry

    tracker_registry[NAME] = JsonlTracker


def cut_after(path: Path, step: int) -> None:
    """Remove the rows after a step, which a resumed run will write again."""
    kept = [row for row in read_rows(path) if row["step"] <= step]
    if path.is_file():
        write_atomically(path, "".join(json.dumps(row) + "\n" for row in kept))


def _row(step: int, values: Mapping[str, Any]) -> dict[str, Any]:
    """A row as it is written: plain numbers alone; JSON has no infinities, what is not a number is null."""
    numbers = {name.rsplit("@", 1)[0]: _number(value) for name, value in values.items()}
    return {"step": step} | {name: numbers[name] for name in sorted(numbers) if numbers[name] is not _NONE}


_NONE = object()


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        return _NONE
    plain = value if isinstance(value, int) else float(value)
    return plain if math.isfinite(plain) else None
