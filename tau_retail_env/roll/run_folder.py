"""What ROLL says about the folders of its runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tau_retail_env.roll.config.check import RollConfig
from tau_retail_env.runs import folder
from tau_retail_env.runs.folder import Engine, RunFolder

MAY_DIFFER = frozenset(
    "output_dir logging_dir checkpoint_config resume resume_from_checkpoint max_steps save_steps eval_steps "
    "logging_steps max_ckpt_to_keep rpc_timeout track_with tracker_kwargs".split()
)
"""Keys at the top that may differ between a run and its continuation."""


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


ENGINE = Engine(before_first=-1, may_differ=MAY_DIFFER, damage_without_manifest=damage_without_manifest)
"""ROLL counts steps from 0."""


def claim(config: RollConfig, values: Mapping[str, Any]) -> RunFolder:
    """Find and lock the folder of a run: `tau_retail_env.runs.folder.claim`.

    Args:
        config: the checked configuration.
        values: the same as composed.
    """
    return folder.claim(ENGINE, values, output_dir=config.output_dir, exp_name=config.exp_name, resume=config.resume)


def remove_empty_folders(run: Path) -> None:
    """Remove the empty folders in which ROLL's workers put checkpoints together."""
    for path in (found for found in run.iterdir() if found.is_dir()):
        with suppress(OSError):  # it holds something
            path.rmdir()
