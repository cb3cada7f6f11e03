"""One run's folder: who may write to it, and what lies where."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tau_retail_env.config import to_yaml
from tau_retail_env.config.continuation import check_same_run
from tau_retail_env.config.run import RunConfig
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.files import read_rows, write_atomically
from tau_retail_env.training import checkpoint

CONFIG = "config.yaml"
METRICS = "metrics.jsonl"
SUMMARY = "summary.json"
MAY_DIFFER = ("output_dir", "resume", "resume_from_checkpoint")
"""Keys that may differ between a run and its continuation."""


class RunFolder:
    """Paths of one run and the step from which it goes on.

    Args:
        path: the run's own folder.
        step: steps that are already done and saved.
    """

    def __init__(self, path: Path, *, step: int = 0) -> None:
        self.path = path
        self.step = step
        self.metrics = path / METRICS
        self.summary = path / SUMMARY
        self.curves = path / "curves.png"
        self.checkpoints = path / "checkpoints"
        self.tensorboard = path / "tensorboard"

    def trajectories(self, kind: str, step: int) -> Path:
        """File of the episodes played for training in a step (train), for validation after it (val), or when the run
        was stopped while it played for one of them (stopped)."""
        return self.path / "trajectories" / f"{kind}-{step:06d}.jsonl"

    def open(self, values: Mapping[str, Any]) -> None:
        """Make the folder ready to be written to.

        A new run gets its configuration; in one that goes on, what was written after the last checkpoint is removed,
        because it will be written again.
        """
        trajectories = self.path / "trajectories"
        try:
            trajectories.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidValueError(f"output_dir {self.path} cannot be made: {error}") from error
        if not (self.path / CONFIG).is_file():
            write_atomically(self.path / CONFIG, to_yaml(values))
        checkpoint.remove_leftovers(self.checkpoints)
        if self.metrics.is_file():
            rows = [row for row in read_rows(self.metrics) if row["step"] <= self.step]
            write_atomically(self.metrics, "".join(json.dumps(row) + "\n" for row in rows))
        for path in trajectories.iterdir():
            if path.suffix != ".jsonl" or int(path.stem.rpartition("-")[2]) > self.step:
                path.unlink()

    def last_checkpoint(self) -> Path | None:
        """The newest complete checkpoint, None before the first."""
        found = checkpoint.complete(self.checkpoints)
        return found[-1][1] if found else None


def claim(config: RunConfig, values: Mapping[str, Any]) -> RunFolder:
    """Find the run's folder: a new one, or the one to go on with. Nothing is written yet.

    Args:
        config: the checked configuration.
        values: the same as composed.

    Returns:
        The folder, to be opened before anything is written to it.

    Raises:
        InvalidValueError: the folder belongs to another run, or there is none to go on with.
    """
    path = Path(config.output_dir).expanduser().resolve()
    if config.resume:
        return _resumed(_to_resume(config, path), values)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InvalidValueError(
            f"output_dir {path} already holds {_contents(path)}. "
            "Go on with it by resume=true, or give another: output_dir=FOLDER or exp_name=NAME"
        )
    return RunFolder(path)


def _contents(path: Path) -> str:
    if not path.is_dir():
        return "a file of that name"
    return "a run" if (path / CONFIG).is_file() else "files of something else"


def _to_resume(config: RunConfig, path: Path) -> Path:
    """The folder that resume means: the one given, output_dir where it exists, or the newest of this experiment."""
    if isinstance(config.resume, str):
        path = Path(config.resume).expanduser().resolve()
    elif not path.is_dir():
        runs = sorted(
            (found for found in path.parent.glob(f"{config.exp_name}*") if (found / CONFIG).is_file()),
            key=lambda found: os.stat(found / CONFIG).st_mtime,
        )
        if not runs:
            raise InvalidValueError(
                f"resume: there is no run of {config.exp_name!r} in {path.parent}; leave out resume=true to start one"
            )
        path = runs[-1]
    if not (path / CONFIG).is_file():
        raise InvalidValueError(f"resume: {path} holds no run ({CONFIG} is missing); give the folder of a run")
    return path


def _resumed(path: Path, values: Mapping[str, Any]) -> RunFolder:
    stored = yaml.safe_load((path / CONFIG).read_text(encoding="utf-8"))
    check_same_run(path, stored, values, may_differ=MAY_DIFFER)
    found = checkpoint.complete(path / "checkpoints")
    return RunFolder(path, step=found[-1][0] if found else 0)
