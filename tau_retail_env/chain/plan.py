"""What a chain will do: each stage's configuration composed and checked, and a digest of all that it is made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tau_retail_env.chain.record import Inputs
from tau_retail_env.chain.settings import START, ChainConfig, Stage, overrides
from tau_retail_env.config import compose
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.evaluation.settings import digest_of_checkpoint
from tau_retail_env.models.shipped import checkpoint
from tau_retail_env.runs.folder import OF_THE_START

TRAINING = ("sft", "local", "roll")
"""Kinds of stage that hand on weights."""
PLAY = "play"
LOCATIONS = (*OF_THE_START, "pretrain", "track_with", "tracker_kwargs")
"""Keys at the top that say where files lie or metrics go; `Inputs` has what pretrain stands for."""
FOR_SPEED = {"play": ("engines", "concurrency", "gpu_memory"), "conversations": ("num_workers",)}
"""Within a block, the keys that decide only how fast it goes."""
NO_FOLDER = "-"
"""What stands for a folder in a configuration of which only the digest is wanted."""

Check = Callable[[Mapping[str, Any]], str]
"""Checks a composed configuration as the command would before it starts; returns its kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStage:
    """One stage, ready to be run as soon as those before it are whole."""

    name: str
    """Its name."""
    settings: Stage
    """Its block."""
    kind: str
    """What it does: sft, local, roll or play."""
    weights_of: str
    """The stage whose weights it begins with, or start."""
    inputs: Inputs
    """From what it is made."""
    keeps: bool
    """Whether it keeps episodes."""

    @property
    def trains(self) -> bool:
        """Whether it hands on weights."""
        return self.kind in TRAINING


def plan(config: ChainConfig, check: Check) -> list[PlannedStage]:
    """Compose and check every stage.

    Args:
        config: the chain, checked.
        check: checks a stage's configuration.

    Raises:
        InvalidValueError: a stage whose configuration cannot be used; the message names the stage.
    """
    planned: dict[str, PlannedStage] = {}
    last_trained = START
    for name, stage in config.stages.items():
        weights_of = stage.weights or last_trained
        planned[name] = _planned(config, name, weights_of, planned, check)
        if planned[name].trains:
            last_trained = name
    return list(planned.values())


def words_of(config: ChainConfig, stage: Stage, *, output_dir: str, pretrain: str, kept: str | None) -> list[str]:
    """The words after `tau-retail train` that a stage means.

    Args:
        config: the chain.
        stage: the stage's block.
        output_dir: its folder.
        pretrain: the folder of the weights that it begins with.
        kept: the folder of the kept episodes that it learns from.
    """
    folder = ["--config-path", config.config_folder] if config.config_folder is not None else []
    return ["--config-name", stage.config, *folder, *_overrides(config, stage, output_dir, pretrain, kept)]


def start_digest(pretrain: str) -> str:
    """What stands for the weights that a chain begins with: a digest of a folder, or a Hugging Face name."""
    folder = Path(checkpoint(pretrain)).expanduser()
    return digest_of_checkpoint(folder) if folder.is_dir() else pretrain


def _planned(
    config: ChainConfig, name: str, weights_of: str, before: Mapping[str, PlannedStage], check: Check
) -> PlannedStage:
    stage = config.stages[name]
    try:
        values = _composed(config, name)
        kind = check(values)
    except InvalidValueError as error:
        raise InvalidValueError(
            f"Stage {name} ({stage.config}): {error}; in a chain the stage's keys are stages.{name}.set.KEY"
        ) from error
    _check_place(name, stage, kind, weights_of, before)
    learns_from = before[stage.learns_from] if stage.learns_from is not None else None
    inputs = Inputs(
        config=_what_counts(values),
        weights=start_digest(config.pretrain) if weights_of == START else before[weights_of].inputs.key,
        learns_from=learns_from.inputs.key if learns_from else None,
        hands_on=stage.hands_on,
    )
    return PlannedStage(
        name=name,
        settings=stage,
        kind=kind,
        weights_of=weights_of,
        inputs=inputs,
        keeps=kind == PLAY and values.get("keep") is not None,
    )


def _check_place(name: str, stage: Stage, kind: str, weights_of: str, before: Mapping[str, PlannedStage]) -> None:
    """Refuse a stage that takes from another what that one does not have."""
    if kind not in (*TRAINING, PLAY):
        raise InvalidValueError(f"Stage {name}: {stage.config} is itself a chain; name its stages here instead")
    if weights_of != START and not before[weights_of].trains:
        raise InvalidValueError(f"stages.{name}.weights: {weights_of} trains nothing, so it hands on no weights")
    if stage.learns_from is not None and not before[stage.learns_from].keeps:
        raise InvalidValueError(
            f"stages.{name}.learns_from: {stage.learns_from} keeps no episodes (its configuration has no keep)"
        )


def _composed(config: ChainConfig, name: str) -> dict[str, Any]:
    """The stage's configuration as it is before its folders are known: with the weights that the chain begins with."""
    stage = config.stages[name]
    words = _overrides(config, stage, NO_FOLDER, config.pretrain, None)
    values = compose(stage.config, folder=config.config_folder, overrides=words)
    if stage.learns_from is None:
        return values
    if "conversations" not in values:
        raise InvalidValueError("learns_from: only fine-tuning learns from kept episodes")
    return {**values, "conversations": {**values["conversations"], "kept": NO_FOLDER}}


def _what_counts(values: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without what says where things lie, and how fast they are made."""
    kept = {key: value for key, value in values.items() if key not in LOCATIONS}
    if kept.get("reward_pretrain") == values["pretrain"]:
        del kept["reward_pretrain"]
    for block, names in FOR_SPEED.items():
        if block in kept:
            kept[block] = {name: value for name, value in kept[block].items() if name not in names}
    return kept


def _overrides(config: ChainConfig, stage: Stage, output_dir: str, pretrain: str, kept: str | None) -> list[str]:
    places: dict[str, Any] = {"output_dir": output_dir, "pretrain": pretrain}
    if kept is not None:
        places["conversations"] = {"kept": kept}
    return [word for keys in ({"seed": config.seed}, config.shared, stage.set, places) for word in overrides(keys)]
