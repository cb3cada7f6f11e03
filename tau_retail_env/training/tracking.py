"""Where a run's metrics go: JSONL and TensorBoard always, W&B or trackio when asked."""

from __future__ import annotations

import importlib
import json
import math
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from tau_retail_env.config.run import RunConfig
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.files import read_rows, write_atomically
from tau_retail_env.trackers import HOSTED, run_arguments
from tau_retail_env.training.run_folder import RunFolder

WANDB_ID = "wandb_run_id"


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
        """
        row = _row(step, values)
        line = (json.dumps(row) + "\n").encode("utf-8")
        with self._path.open("ab", buffering=0) as file:  # one write: a killed process leaves whole lines
            file.write(line)
            os.fsync(file.fileno())
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

        self._writer = SummaryWriter(str(folder.tensorboard), purge_step=folder.step + 1 if folder.step else None)

    def log(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class _Hosted:
    """W&B and trackio have the same three calls. A run that goes on goes on there, too, with its rows in one series."""

    def __init__(self, config: RunConfig, folder: RunFolder) -> None:
        name = config.track_with
        self._library = importlib.import_module(name)
        settings = run_arguments(name, folder.path.name, config.tracker_kwargs)
        if name == "wandb":  # knows a run by an id of its own, trackio by its name
            settings = {"id": _run_id(folder.path / WANDB_ID), "resume": "allow"} | settings
        elif config.resume:
            settings = {"resume": "allow"} | settings
        try:
            self._library.init(**settings)
        except Exception as error:  # whatever it raises, the run cannot be told to it
            raise InvalidValueError(f"track_with: {name} cannot be started: {error}") from error

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._library.log(dict(values), step=step)

    def close(self) -> None:
        self._library.finish()


def _run_id(path: Path) -> str:
    """The id under which W&B knows a run, kept in its folder."""
    if not path.is_file():
        write_atomically(path, uuid.uuid4().hex)
    return path.read_text(encoding="utf-8")


def _row(step: int, values: Mapping[str, float | None]) -> dict[str, Any]:
    """A row as it is written: JSON has no infinities, what is not a number is null."""
    finite = {name: value if value is not None and math.isfinite(value) else None for name, value in values.items()}
    return {"step": step} | dict(sorted(finite.items()))
