"""What a stage's folder says about it: from what it was made, and, once it is whole, what it hands on."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tau_retail_env.blocks import check_fields
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.runs.checkpoints import damage_of
from tau_retail_env.runs.files import write_atomically
from tau_retail_env.runs.folder_lock import is_unused
from tau_retail_env.runs.resume import differences

RECORD = "stage.json"
"""The file of a stage's folder."""
FORMAT = 1
DIGEST_LENGTH = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """From what a stage is made."""

    config: Mapping[str, Any]
    """Its configuration, without what only says where things lie."""
    weights: str
    """A digest of the weights that it begins with, or of what they were made from."""
    learns_from: str | None
    """The same of the kept episodes; None where it has none."""
    hands_on: str
    """Which of its weights the next stage gets."""

    @property
    def key(self) -> str:
        """A digest of all of it: two stages of one key make the same."""
        text = json.dumps(dataclasses.asdict(self), sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRecord:
    """The file of a stage's folder."""

    stage: str
    """Its name."""
    kind: str
    """What it does: sft, local, roll or play."""
    inputs: Mapping[str, Any]
    """From what it is made, see `Inputs`."""
    is_whole: bool = False
    """Whether it has come to its end."""
    weights: str | None = None
    """Folder within its own of the weights that it hands on; None where it trains nothing."""
    kept: str | None = None
    """The same of the episodes that it has kept."""
    seconds: float = 0.0
    """How long the call took that finished it."""
    format: int = FORMAT
    """Version of the file."""


def read_record(folder: Path) -> StageRecord | None:
    """What a stage's folder says; None where the stage has not begun.

    Raises:
        InvalidValueError: the folder holds something else, or the file cannot be read.
    """
    path = folder / RECORD
    if not path.is_file():
        if is_unused(folder):
            return None
        raise InvalidValueError(
            f"{folder} holds files of something else ({RECORD} is missing); give the chain another folder: "
            "output_dir=FOLDER"
        )
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        record = StageRecord(**values)
        check_fields(record, str(path))
    except (OSError, ValueError, TypeError) as error:
        raise InvalidValueError(f"{path} cannot be read ({error}); give another folder: output_dir=FOLDER") from None
    return record


def write_record(folder: Path, record: StageRecord) -> None:
    """Write a stage's file, whole or not at all.

    Raises:
        WriteError: the disk does not allow it.
    """
    write_atomically(folder / RECORD, json.dumps(dataclasses.asdict(record), indent=1, default=str) + "\n")


def check_same(folder: Path, record: StageRecord, stage: str, inputs: Inputs) -> None:
    """Refuse a folder that was made by another stage, or from something else.

    Args:
        folder: the stage's.
        record: what it says.
        stage: the name of the stage that is to be made.
        inputs: from what.

    Raises:
        InvalidValueError: names the stage and everything that differs, with both values.
    """
    now = json.loads(json.dumps(dataclasses.asdict(inputs), default=str))
    found = list(differences({"stage": record.stage, **record.inputs}, {"stage": stage, **now}))
    if not found:
        return
    changed = ", ".join(words.removeprefix("config.") for words in sorted(found))
    raise InvalidValueError(
        f"Stage {stage}: {folder} was made by another chain, or this stage was changed since: it differs in {changed}. "
        "Give the same keys to resume it, or another folder: output_dir=FOLDER. Nothing was overwritten"
    )


def check_whole(folder: Path, record: StageRecord) -> None:
    """Refuse a finished stage whose results are not there any more as it wrote them.

    Raises:
        InvalidValueError: names the first file that is missing or another one.
    """
    for name in filter(None, (record.weights, record.kept)):
        if (damage := damage_of(folder / name)) is not None:
            raise InvalidValueError(
                f"Stage {record.stage}: {folder / name} is not whole: {damage}. Restore it, or move {folder} away to "
                "make the stage and those after it again"
            )
