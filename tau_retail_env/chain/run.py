"""A chain from its checked stages to its last weights: whole stages are kept, one that was begun is resumed."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tau_retail_env.chain import processes
from tau_retail_env.chain.kept import FOLDER as KEPT
from tau_retail_env.chain.plan import PLAY, PlannedStage, words_of
from tau_retail_env.chain.record import StageRecord, check_same, check_whole, read_record, write_record
from tau_retail_env.chain.settings import START, ChainConfig
from tau_retail_env.chain.table import write_table
from tau_retail_env.config import to_yaml
from tau_retail_env.errors import InvalidValueError, TauRetailError
from tau_retail_env.models.shipped import checkpoint
from tau_retail_env.runs.checkpoints import BEST, checkpoints_in, has_manifest
from tau_retail_env.runs.files import write_atomically
from tau_retail_env.runs.folder import newest_run
from tau_retail_env.runs.folder_lock import FolderLock, is_unused
from tau_retail_env.runs.interruption import resumable
from tau_retail_env.runs.interruption import say as say_line
from tau_retail_env.runs.resume import CONFIG

Say = Callable[[str], None]
RUN = "run"
"""Within a stage's folder, that of the stage's own run."""


class StageFailedError(TauRetailError):
    """A stage failed. Stages that are whole stay, and the chain can be resumed."""


def run(
    config: ChainConfig, planned: Sequence[PlannedStage], values: Mapping[str, Any], *, say: Say = say_line
) -> Path:
    """Run the stages that are not whole yet, one after another.

    Args:
        config: the chain, checked.
        planned: its stages.
        values: the chain's configuration as composed, for its folder.
        say: takes each line for the screen.

    Returns:
        The folder of the last stage's weights.

    Raises:
        InvalidValueError: the folder belongs to another chain or to something else; nothing was written.
        StageFailedError: a stage failed.
        KeyboardInterrupt, SystemExit: SIGINT or SIGTERM has ended it, and it has said how to go on.
    """
    folder = chain_folder(config)
    with FolderLock(folder), resumable(folder, say):
        chain = _Chain(config, planned, folder, say)
        write_atomically(folder / CONFIG, to_yaml(values))
        for stage in planned:
            chain.bring(stage)
        say(chain.table())
        say(f"everything lies in {folder}")
        trained = [stage.name for stage in planned if stage.trains]
        return chain.weights(trained[-1] if trained else START)


def chain_folder(config: ChainConfig) -> Path:
    """The folder of the chain: a new one, or the one that is resumed.

    Raises:
        InvalidValueError: a new chain in a folder that holds something, or none to resume.
    """
    path = Path(config.output_dir).expanduser().resolve()
    if isinstance(config.resume, str):
        given = Path(config.resume).expanduser().resolve()
        if not (given / CONFIG).is_file():
            raise InvalidValueError(f"resume: {given} holds no chain ({CONFIG} is missing); give the folder of a chain")
        return given
    if config.resume:
        return path if path.is_dir() else newest_run(config.exp_name, path)
    if is_unused(path):
        return path
    remedy = "Resume it with resume=true, or give" if (path / CONFIG).is_file() else "Give"
    raise InvalidValueError(f"output_dir {path} is not empty. {remedy} another: output_dir=FOLDER")


class _Chain:
    """A chain under way.

    Args:
        config: the chain.
        planned: its stages.
        folder: its folder, locked.
        say: takes each line for the screen.

    Raises:
        InvalidValueError: a stage's folder is of another chain, was changed, or is not whole any more.
        MissingDependencyError: an environment that a stage needs is not there.
    """

    def __init__(self, config: ChainConfig, planned: Sequence[PlannedStage], folder: Path, say: Say) -> None:
        self._config = config
        self._planned = planned
        self._folder = folder
        self._say = say
        self._pythons = {stage.name: processes.python_for(stage.kind, config.pythons) for stage in planned}
        self._records: dict[str, StageRecord] = {}
        for stage in planned:
            if (record := read_record(folder / stage.name)) is not None:
                check_same(folder / stage.name, record, stage.name, stage.inputs)
                if record.is_whole:
                    check_whole(folder / stage.name, record)
                self._records[stage.name] = record

    def bring(self, stage: PlannedStage) -> None:
        """See to it that a stage is whole.

        Raises:
            StageFailedError: it failed.
        """
        place = f"[chain] {1 + self._planned.index(stage)}/{len(self._planned)} {stage.name}"
        record = self._records.get(stage.name)
        if record is not None and record.is_whole:
            self._say(f"{place}: whole already, {self._folder / stage.name}")
            return
        record = record or StageRecord(stage=stage.name, kind=stage.kind, inputs=dataclasses.asdict(stage.inputs))
        write_record(self._folder / stage.name, record)
        words = self._words(stage)
        self._say(f"{place}: {processes.as_typed(self._pythons[stage.name], words)}")
        began = time.monotonic()
        status = processes.run_stage(self._pythons[stage.name], words)
        if status != 0:
            raise StageFailedError(
                f"Stage {stage.name} ended with status {status}, see above. Fix that, then resume with: "
                f"resume={self._folder}"
            )
        self._records[stage.name] = self._finished(stage, record, time.monotonic() - began)
        write_record(self._folder / stage.name, self._records[stage.name])
        if stage.kind == PLAY:
            self._say(self.table())

    def weights(self, stage: str) -> Path:
        """The weights of a stage that is whole, or those that the chain begins with (a Hugging Face name, too)."""
        if stage == START:
            return Path(checkpoint(self._config.pretrain))
        weights = self._records[stage].weights
        assert weights is not None, "a stage before this one is whole, and trains"
        return self._folder / stage / weights

    def table(self) -> str:
        """The figures of all that was played, stage by stage; also written to the chain's folder."""
        return write_table(self._folder, self._planned, self._records)

    def _words(self, stage: PlannedStage) -> list[str]:
        source, here = stage.settings.learns_from, self._folder / stage.name / RUN
        words = words_of(
            self._config,
            stage.settings,
            output_dir=str(here),
            pretrain=str(self.weights(stage.weights_of)),
            kept=None if source is None else str(self._folder / source / RUN / KEPT),
        )
        goes_on = stage.trains and (here / CONFIG).is_file()
        return ["train", *words, *([f"resume={here}"] if goes_on else [])]

    def _finished(self, stage: PlannedStage, record: StageRecord, seconds: float) -> StageRecord:
        weights = self._handed_on(stage) if stage.trains else None
        return dataclasses.replace(
            record,
            is_whole=True,
            weights=weights,
            kept=f"{RUN}/{KEPT}" if stage.keeps else None,
            seconds=round(seconds, 1),
        )

    def _handed_on(self, stage: PlannedStage) -> str:
        """The folder, within the stage's, of the weights that it hands on.

        Raises:
            StageFailedError: it has left none.
        """
        folder = self._folder / stage.name / RUN / "checkpoints"
        found = [folder / BEST] if stage.settings.hands_on == "best" else [path for _, path in checkpoints_in(folder)]
        if not found or not has_manifest(found[-1]):
            raise StageFailedError(f"Stage {stage.name} has left no weights in {folder}")
        return str(found[-1].relative_to(self._folder / stage.name))
