"""What ROLL says about the folders of its runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tau_retail_env.roll.config.check import RollConfig
from tau_retail_env.roll.config.rules import ROLES, parse_devices
from tau_retail_env.runs import folder
from tau_retail_env.runs.checkpoints import SCORE
from tau_retail_env.runs.folder import Engine, RunFolder

MAY_DIFFER = frozenset(
    "output_dir logging_dir checkpoint_config resume resume_from_checkpoint max_steps save_steps eval_steps "
    "stop_after_worse logging_steps max_ckpt_to_keep rpc_timeout track_with tracker_kwargs".split()
)
"""Keys at the top that may differ between a run and its continuation."""
GPUS = ("num_gpus_per_node", "num_nodes", "num_gpus")
"""Keys at the top that say how many GPUs there are."""
ACCUMULATION = "gradient_accumulation_steps"


def damage_without_manifest(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint as ROLL wrote it: the pipeline's state is written last of all."""
    state = Path("pipeline") / "worker_state_pipeline.json"
    try:
        json.loads((checkpoint / state).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return f"{state} is missing"
    except (OSError, ValueError) as error:
        return f"{state} is not whole: {error}"
    return None


def on_any_gpus(values: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without its number of GPUs, which may change in a resumed run if updates keep their size.

    Args:
        values: as composed; for each learner its accumulation becomes the episodes of an update.
    """
    kept = {name: value for name, value in values.items() if name not in GPUS}
    for role in ROLES:
        if not isinstance(block := kept.get(role), Mapping):
            continue
        kept[role] = changed = {name: value for name, value in block.items() if name != "device_mapping"}
        if isinstance(training := block.get("training_args"), Mapping) and ACCUMULATION in training:
            with suppress(ValueError):  # the check of the configuration says what is wrong with the GPUs
                episodes = training[ACCUMULATION] * len(parse_devices(block.get("device_mapping")))
                changed["training_args"] = {**training, ACCUMULATION: episodes}
    return kept


ENGINE = Engine(
    before_first=-1,
    may_differ=MAY_DIFFER,
    damage_without_manifest=damage_without_manifest,
    compared=on_any_gpus,
)
"""ROLL counts steps from 0."""


def claim(config: RollConfig, values: Mapping[str, Any]) -> RunFolder:
    """Find and lock the folder of a run: `tau_retail_env.runs.folder.claim`.

    Args:
        config: the checked configuration.
        values: the same as composed.
    """
    return folder.claim(ENGINE, values, output_dir=config.output_dir, exp_name=config.exp_name, resume=config.resume)


def scores_of(rows: Iterable[tuple[int, Mapping[str, Any]]], critic_warmup: int) -> dict[int, float | None]:
    """Scores of validations by the step whose weights they judge, as checkpoints are numbered: the one before theirs.

    Args:
        rows: each step's metrics, with its number.
        critic_warmup: first steps in which the actor does not learn; what judges it before it has learnt is left out.

    Returns:
        None for a step that had no validation.
    """
    return {step - 1: row.get(SCORE) for step, row in rows if step > critic_warmup}


def remove_empty_folders(run: Path) -> None:
    """Remove the empty folders in which ROLL's workers put checkpoints together."""
    for path in (found for found in run.iterdir() if found.is_dir()):
        with suppress(OSError):  # it holds something
            path.rmdir()
