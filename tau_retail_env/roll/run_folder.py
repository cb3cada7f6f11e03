"""One ROLL run's folder: a new one or the one to go on with, and its newest whole checkpoint."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tau_retail_env.config import to_yaml
from tau_retail_env.config.roll import RollConfig
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.runs.files import write_atomically, writing
from tau_retail_env.runs.folder import CONFIG, lock_new, newest_run
from tau_retail_env.runs.folder_lock import FolderLock
from tau_retail_env.runs.metric_log import cut_after
from tau_retail_env.runs.resume import check_same_run

CHECKPOINT = re.compile(r"checkpoint-(\d+)")
MAY_DIFFER = frozenset(
    "output_dir logging_dir checkpoint_config resume resume_from_checkpoint max_steps save_steps eval_steps "
    "logging_steps max_ckpt_to_keep rpc_timeout track_with tracker_kwargs".split()
)
"""Keys at the top that may differ between a run and its continuation."""


@dataclass(frozen=True, slots=True)
class RollFolder:
    """Paths of one run, and from where it goes on; used as a context, at whose end others may write to it."""

    path: Path
    """The run's own folder, absolute."""
    checkpoint: Path | None = None
    """The folder checkpoint-N to resume from."""
    lock: FolderLock | None = None
    """Keeps other processes away."""

    def __enter__(self) -> Self:
        """The folder is locked already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of the folder; a new one that was never opened goes."""
        if self.lock is not None:
            self.lock.release()

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
            WriteError: the disk does not allow it.
        """
        with writing(self.checkpoints):
            self.checkpoints.mkdir(parents=True, exist_ok=True)
        if not (self.path / CONFIG).is_file():
            write_atomically(self.path / CONFIG, to_yaml(values))
        cut_after(self.metrics, self.step)

    def clear(self) -> None:
        """Remove the empty folders in which ROLL's workers put checkpoints together."""
        for folder in (found for found in self.path.iterdir() if found.is_dir()):
            with suppress(OSError):  # it holds something
                folder.rmdir()


def claim(config: RollConfig, values: Mapping[str, Any]) -> RollFolder:
    """Find the run's folder and lock it: a new one, or the one to go on with. Nothing is written into it yet.

    Args:
        config: the checked configuration; `resume` is true for the newest run of this experiment, or a run's folder,
            or one of its checkpoints.
        values: the same as composed.

    Raises:
        InvalidValueError: the folder belongs to another run, another process writes to it, there is none to go on
            with, or it has no checkpoint.
    """
    path = Path(config.output_dir).expanduser().resolve()
    return _resumed(config, path, values) if config.resume else RollFolder(path, lock=lock_new(path))


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
        run = given or (path if path.is_dir() else newest_run(config.exp_name, path))
        wanted = whole_checkpoints(run)
    if not (run / CONFIG).is_file():
        raise InvalidValueError(f"resume: {run} holds no run ({CONFIG} is missing); give the folder of a run")
    if not wanted:
        raise InvalidValueError(
            f"resume: {given or run} holds no whole checkpoint; leave out resume to start from the beginning, "
            "with a folder of its own"
        )
    _compare(run, values)
    return RollFolder(run, wanted[-1], FolderLock(run))


def _compare(run: Path, values: Mapping[str, Any]) -> None:
    import yaml

    stored = yaml.safe_load((run / CONFIG).read_text(encoding="utf-8"))
    check_same_run(run, stored, values, may_differ=MAY_DIFFER)
