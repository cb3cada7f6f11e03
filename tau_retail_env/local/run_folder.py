"""What the local engine says about the folders of its runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tau_retail_env.config.run import RunConfig
from tau_retail_env.local.checkpoint import damage_without_manifest
from tau_retail_env.runs import folder
from tau_retail_env.runs.folder import Engine, RunFolder

MAY_DIFFER = frozenset(
    "output_dir resume resume_from_checkpoint max_steps save_steps eval_steps stop_after_worse "
    "max_ckpt_to_keep track_with tracker_kwargs num_gpus_per_node".split()
)
"""Keys at the top that may differ between a run and its continuation."""
ENGINE = Engine(before_first=0, may_differ=MAY_DIFFER, damage_without_manifest=damage_without_manifest)


def claim(config: RunConfig, values: Mapping[str, Any]) -> RunFolder:
    """Find and lock the folder of a run: `tau_retail_env.runs.folder.claim`.

    Args:
        config: the checked configuration.
        values: the same as composed.
    """
    return folder.claim(ENGINE, values, output_dir=config.output_dir, exp_name=config.exp_name, resume=config.resume)
