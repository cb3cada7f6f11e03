"""Where a run's metrics go: JSONL and TensorBoard always, W&B or trackio when asked."""

from __future__ import annotations

import importlib
import json
import math
import uuid
from collections.abc import Mapping
from typing import Any, Protocol

from tau_retail_env.config.run import RunConfig
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.local.run_folder import RunFolder
from tau_retail_env.runs.files import append_row, read_rows, write_atomically, writing
from tau_retail_env.runs.trackers import HOSTED, run_arguments

TRACKER_RUN = "tracker_run"
"""File of a run's folder: the run's id with W&B, or its name with trackio."""


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
        folder: the run, opened.
        config: names the tracker.
    """

    def __init__(self, folder: RunFolder, config: RunConfig) -> None:
        self._path = folder.metrics
        self._trackers: list[Tracker] = []
        if config.track_with in HOSTED:
            self._trackers.append(_Hosted(config, folder))
        self._trackers.append(_TensorBoard(folder))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Append the row of a step.

        Args:
            step: the step, 0 before training.
            values: numbers by ROLL's name; seconds of the clock stand under time/ only.

        Raises:
            WriteError: the disk does not allow it.
        """
        row = _row(step, values)
        append_row(self._path, row)
        self._track(row)

    def complete(self, values: Mapping[str, float]) -> None:
        """Add numbers to the last row, which was written without them.

        Args:
            values: numbers by ROLL's name.
        """
        *before, last = self.rows()
        row = _row(last.pop("step"), {**last, **values})
        write_atomically(self._path, "".join(json.dumps(each) + "\n" for each in (*before, row)))
        self._track(row)

    def _track(self, row: Mapping[str, Any]) -> None:
        known = {name: value for name, value in row.items() if name != "step" and value is not None}
        for tracker in self._trackers:
            tracker.log(known, row["step"])

    def rows(self) -> list[dict[str, Any]]:
        """Every row so far."""
        return read_rows(self._path)

    def close(self) -> None:
        """Finish writing."""
        for tracker in self._trackers:
            tracker.close()


class _TensorBoard:
    def __init__(self, folder: RunFolder) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._path = folder.tensorboard
        goes_on = self._path.is_dir()  # then rows after the last checkpoint will come again
        with writing(self._path):
            self._writer = SummaryWriter(str(self._path), purge_step=folder.step + 1 if goes_on else None)

    def log(self, values: Mapping[str, float], step: int) -> None:
        with writing(self._path):
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)
            self._writer.flush()

    def close(self) -> None:
        with writing(self._path):
            self._writer.close()


class _Hosted:
    """W&B or trackio. A run that goes on goes on there, too: what it is known by there is kept in its folder."""

    def __init__(self, config: RunConfig, folder: RunFolder) -> None:
        self._name = config.track_with
        self._library = importlib.import_module(self._name)
        kept = folder.path / TRACKER_RUN
        known = kept.read_text(encoding="utf-8") if kept.is_file() else None
        settings = run_arguments(self._name, folder.path.name, config.tracker_kwargs)
        if self._name == "wandb":  # knows a run by its id, trackio by its name
            settings = {"id": known or uuid.uuid4().hex, "resume": "allow"} | settings
        elif known:
            settings |= {"name": known, "resume": "allow"}
        try:
            run = self._library.init(**settings)
        except Exception as error:  # whatever it raises, the run cannot be told to it
            raise InvalidValueError(
                f"track_with: {self._name} cannot be started: {error}. Mend it and go on with resume={folder.path}, "
                "or use track_with=tensorboard"
            ) from error
        write_atomically(kept, settings["id"] if self._name == "wandb" else run.name)
        if self._name == "wandb":  # its own count of steps never goes back, as a resumed run's does
            self._library.define_metric("step")
            self._library.define_metric("*", step_metric="step")

    def log(self, values: Mapping[str, float], step: int) -> None:
        if self._name == "wandb":
            self._library.log({**values, "step": step})
        else:
            self._library.log(dict(values), step=step)

    def close(self) -> None:
        self._library.finish()


def _row(step: int, values: Mapping[str, float | None]) -> dict[str, Any]:
    """A row as it is written: JSON has no infinities, what is not a number is null."""
    finite = {name: value if value is not None and math.isfinite(value) else None for name, value in values.items()}
    return {"step": step} | dict(sorted(finite.items()))
