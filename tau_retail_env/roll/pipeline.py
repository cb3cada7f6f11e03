"""ROLL's AgenticPipeline, whose checkpoints are those that a validation judges, are whole by a manifest, and the best
of which is kept."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from roll.pipeline.agentic.agentic_pipeline import AgenticPipeline

from tau_retail_env.runs.checkpoints import MANIFEST, NAME, keep_best, write_manifest

NOT_THE_ACTORS = ("critic", "pipeline", "dcp", MANIFEST)
"""What a checkpoint holds beside the actor as transformers loads it."""
SCORE = "val/score/mean"


class TauRetailPipeline(AgenticPipeline):
    """ROLL's loop; what it does when a step's checkpoint is due.

    ROLL's step N, counted from 0, begins with the validation of what N updates have learnt, and ends with one more
    update. ROLL's own saves at the end of step N where `save_steps` divides N: N + 1 updates, which no validation
    judges where the intervals are the same. Here `save_steps` counts updates: checkpoint-49 holds what 50 updates have
    learnt, and the validation of step 50 judges it.
    """

    def do_checkpoint(self, global_step: int, *args: Any, **kwargs: Any) -> None:
        """Keep what this step's validation has judged if it is the best so far; then save where it is due.

        Args:
            global_step: ROLL's step, which has just ended.
            args: what ROLL's own is given besides; versions differ.
            kwargs: likewise.
        """
        folder = Path(self.pipeline_config.checkpoint_config["output_dir"])
        judged = folder / NAME.format(step=global_step - 1)
        if judged.is_dir():
            score = self.state.log_history[-1].get(SCORE)
            keep_best(folder, global_step - 1, score, lambda best: link_actor(judged, best))
        with self._due_after(global_step + 1):
            super().do_checkpoint(global_step, *args, **kwargs)
        saved = folder / NAME.format(step=global_step)
        if saved.is_dir() and not self.pipeline_config.checkpoint_config.get("async_upload", True):
            write_manifest(saved)

    @contextmanager
    def _due_after(self, updates: int) -> Iterator[None]:
        """Have ROLL, which asks whether `save_steps` divides its step, save where it divides the number of updates."""
        config: Any = self.pipeline_config
        every = config.save_steps
        config.save_steps = 1 if updates % every == 0 else config.max_steps + 1  # divides each step, or none
        try:
            yield
        finally:
            config.save_steps = every


def link_actor(checkpoint: Path, folder: Path) -> None:
    """Put the actor of a checkpoint into another folder, without a second copy on the disk where that is possible.

    Args:
        checkpoint: ROLL's, whole.
        folder: an empty one on the same disk.
    """
    for path in checkpoint.iterdir():
        if path.name in NOT_THE_ACTORS:
            continue
        if path.is_dir():
            shutil.copytree(path, folder / path.name, copy_function=_link)
        else:
            _link(path, folder / path.name)


def _link(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # the file system knows no links
        shutil.copy2(source, target)
