"""Where ROLL's metrics go besides its own tracker: the run's metrics.jsonl, one row a step, as of the local engine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tau_retail_env.runs.metric_log import MetricLog

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

        Path(path).parent.mkdir(parents=True, exist_ok=True)
        self._log = MetricLog(Path(path))
        self._last = max((row["step"] for row in self._log.rows()), default=-1)
        self._inner = create_tracker(tracker, config, **dict(tracker_kwargs))

    def log(self, values: Mapping[str, Any], step: int | None = None, **kwargs: Any) -> None:
        """Keep the numbers of a step.

        Args:
            values: numbers by ROLL's name; the `@…` that says how ROLL averages one is left out.
            step: ROLL's step, from 0.
            kwargs: for ROLL's own tracker.
        """
        if step is not None and step > self._last:
            self._log.write(step, {name.rsplit("@", 1)[0]: value for name, value in values.items()})
            self._last = step
        self._inner.log(dict(values), step=step, **kwargs)

    def finish(self) -> None:
        """Finish writing."""
        self._inner.finish()


def register() -> None:
    """Make the tracker known to ROLL in this process, which is the one that tracks."""
    from roll.utils.tracking import tracker_registry

    tracker_registry[NAME] = JsonlTracker
