"""What the local engine says about the folders of its runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tau_retail_env.config.run import RunConfig
from tau_retail_env.runs import folder
from tau_retail_env.runs.folder import Engine, RunFolder

ENGINE = Engine(
    before_first=0,
    may_differ=frozenset(("output_dir", "resume", "resume_from_checkpoint")),
    is_whole=lambda path: True,  # one is renamed to its name when it is whole
    begins_anew=True,
)


def claim(config: RunConfig, values: Mapping[str, Any]) -> RunFolder:
    """Find and lock the folder of a run: `tau_retail_env.runs.folder.claim`.

    Args:
        config: the checked configuration.
        values: the same as composed.
    """
    return folder.claim(ENGINE, values, output_dir=config.output_dir, exp_name=config.exp_name, resume=config.resume)
