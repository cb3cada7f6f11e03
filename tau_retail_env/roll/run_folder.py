"""One ROLL run's folder: a new one or the one to go on with, and its newest whole checkpoint."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tau_retail_env.config import to_yaml
from tau_retail_env.config.continuation import check_same_run
from tau_retail_env.config.roll import RollConfig
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.roll.tracking import cut_after

CONFIG = "config.yaml"
CHECKPOINT = re.compile(r"checkpoint-(\d+)")
MAY_DIFFER = frozenset(
    "output_dir logging_dir checkpoint_config resume resume_from_checkpoint max_steps save_steps eval_steps "
    "logging_steps max_ckpt_to_keep rpc_timeout track_with tracker_kwargs".split()
)
"""Keys at the top that may differ between a run and its continuation."""


@dataclass(frozen=True, slots=True)
class RollFolder:
    """Paths of one run, and from where it goes on."""

    path: Path
    """The run's own folder, absolute."""
    checkpoint: Path | None = None
    """The folder checkpoint-N to resume from."""

    @property
    def metrics(self) -> Path:
        """File with one row a step."""
        return self.path / "metrics.jsonl"

    @property
    def checkpoints(self) -> Path:
        """Where ROLL puts checkpoint-N."""
        return self.path / "checkpoints"

    @property
    def step(self) -> int:
        """ROLL's last step that is saved; -1 before the first."""
        return step_of(self.checkpoint) if self.checkpoint else -1

    def open(self, values: Mapping[str, Any]) -> None:
        """Make the folder, and write down the configuration; rows after the checkpoint go, they will come again.

        Raises:
            InvalidValueError: the folder cannot be made.
        """
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidValueError(f"output_dir {self.path} cannot be made: {error}") from error
        if not (self.path / CONFIG).is_file():
            (self.path / CONFIG).write_text(to_yaml(values), encoding="utf-8")
        cut_after(self.metrics, self.step)

    def clear(self) -> None:
        """Remove the empty folders in which ROLL's workers put checkpoints together."""
        for folder in (found for found in self.path.iterdir() if found.is_dir()):
            with suppress(OSError):  # it holds something
                folder.rmdir()


def claim(config: RollConfig, values: Mapping[str, Any]) -> RollFolder:
    """Find the run's folder: a new one, or the one to go on with. Nothing is written yet.

    Args:
        config: the checked configuration; `resume` is true for the newest run of this experiment, or a run's folder,
            or one of its checkpoints.
        values: the same as composed.

    Raises:
        InvalidValueError: the folder belongs to another run, there is none to go on with, or it has no checkpoint.
    """
    path = Path(config.output_dir).expanduser().resolve()
    if config.resume:
        return _resumed(config, path, values)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InvalidValueError(
            f"output_dir {path} is not empty. Go on with the run that it holds by resume={path}, "
            "or give another: output_dir=FOLDER or exp_name=NAME"
        )
    return RollFolder(path)


def step_of(checkpoint: Path) -> int:
    """ROLL's step at whose end a checkpoint was saved."""
    found = CHECKPOINT.fullmatch(checkpoint.name)
    assert found is not None, "claim takes folders of that name only"
    return int(found.group(1))


def whole_checkpoints(run: Path) -> list[Path]:
    """Checkpoints from which ROLL can resume, oldest first: the pipeline's state is written last of all."""
    found = [path for path in (run / "checkpoints").glob("checkpoint-*") if CHECKPOINT.fullmatch(path.name)]
    return sorted((path for path in found if _is_whole(path)), key=step_of)


def _is_whole(path: Path) -> bool:
    try:
        json.loads((path / "pipeline" / "worker_state_pipeline.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return False
    return True


def _resumed(config: RollConfig, path: Path, values: Mapping[str, Any]) -> RollFolder:
    given = Path(config.resume).expanduser().resolve() if isinstance(config.resume, str) else None
    if given is not None and CHECKPOINT.fullmatch(given.name):
        run, wanted = given.parents[1], [given] if _is_whole(given) else []
    else:
        run = given or _newest(config.exp_name, path)
        wanted = whole_checkpoints(run)
    if not (run / CONFIG).is_file():
        raise InvalidValueError(f"resume: {run} holds no run ({CONFIG} is missing); give the folder of a run")
    if not wanted:
        raise InvalidValueError(
            f"resume: {given or run} holds no whole checkpoint; leave out resume to start from the beginning, "
            "with a folder of its own"
        )
    _compare(run, values)
    return RollFolder(run, wanted[-1])


def _newest(name: str, path: Path) -> Path:
    """output_dir where it exists, or the newest run of this experiment beside it."""
    if path.is_dir():
        return path
    runs = [found for found in path.parent.glob(f"{name}_*") if (found / CONFIG).is_file()]
    if not runs:
        raise InvalidValueError(f"resume: there is no run of {name!r} in {path.parent}; leave out resume to start one")
    return max(runs, key=lambda found: os.stat(found / CONFIG).st_mtime)


def _compare(run: Path, values: Mapping[str, Any]) -> None:
    import yaml

    stored = yaml.safe_load((run / CONFIG).read_text(encoding="utf-8"))
    check_same_run(run, stored, values, may_differ=MAY_DIFFER)
