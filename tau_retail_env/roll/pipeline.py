"""ROLL's AgenticPipeline, whose checkpoints are those that a validation judges, are whole by a manifest, and the best
of which is kept."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from roll.pipeline.agentic.agentic_pipeline import AgenticPipeline

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.roll import transport  # noqa: F401 — batches are sent by it
from tau_retail_env.roll.ahead import played_ahead
from tau_retail_env.roll.group_filter import WITHOUT_SIGNAL
from tau_retail_env.roll.group_signal import with_signal
from tau_retail_env.roll.metrics import ASKED_AT, EARNED
from tau_retail_env.roll.ranks import begin_storage
from tau_retail_env.roll.roles import load_together, made_at_once, tell_of_engines
from tau_retail_env.roll.run_folder import scores_of
from tau_retail_env.roll.run_tasks import Loaded, hand_out
from tau_retail_env.roll.schedulers import begin_what_schedulers_start, taken_by_rolls_pipeline
from tau_retail_env.roll.step_math import in_place_of_rolls
from tau_retail_env.runs.checkpoints import MANIFEST, NAME, SCORE, keep_best, write_manifest
from tau_retail_env.runs.early_stop import EarlyStop, reason_to_stop
from tau_retail_env.runs.interruption import Interruption

OF_MEGATRON = ("iter_0000001", "latest_checkpointed_iteration.txt", "mca_config.json", "rng_state", "scheduler.pt")
"""What Megatron's learner adds to a checkpoint: its weights as it divides them, and all that a resumed one needs."""
NOT_THE_ACTORS = ("critic", "pipeline", "dcp", MANIFEST, *OF_MEGATRON)
"""What a checkpoint holds beside the actor as transformers loads it."""
BEHIND = "rollout/steps_behind"
"""How many updates ago the engine was asked for the tokens that a step learns from, on average; 0 unless episodes are
played ahead. A message that was broken off counts as if it was all drawn before."""


class TauRetailPipeline(AgenticPipeline):
    """ROLL's loop; what it does when a step's checkpoint is due.

    ROLL's step N, counted from 0, begins with the validation of what N updates have learnt, and ends with one more
    update. ROLL's own saves at the end of step N where `save_steps` divides N: N + 1 updates, which no validation
    judges where the intervals are the same. Here `save_steps` counts updates: checkpoint-49 holds what 50 updates have
    learnt, and the validation of step 50 judges it.

    Args:
        pipeline_config: ROLL's AgenticConfig.
        loaded: the tasks of each tag, for the environment workers; empty when they are handed out.
        reached: is told how far the start has come.
    """

    min_success = 0.0
    """Success on tasks that doing nothing does not win below which the first step ends the run."""
    say: Callable[[str], None] = staticmethod(print)
    """Takes what the first step says of its signal."""

    filter_groups = False
    """Whether groups of which all episodes earned the same are left out of what is learnt from."""
    stop_after_worse: int | None = None
    """After how many validations in a row that were not above the best the run ends; None for never."""
    interruption = Interruption(print)
    """What signals have asked of the run."""

    def __init__(self, pipeline_config: Any, loaded: dict[str, Loaded], reached: Callable[[str], None]) -> None:
        self._reached = reached
        self._storage = begin_storage()
        hand_out(self._storage, loaded)
        with made_at_once(pipeline_config), taken_by_rolls_pipeline(), played_ahead(pipeline_config):
            super().__init__(pipeline_config)

    def download_models(self, *clusters: Any) -> None:
        """Have every machine get the model; the reference then loads it while the learners do, and what the
        schedulers start imports.

        Args:
            clusters: ROLL's roles.
        """
        self._reached("the roles' processes have imported")
        self._begun = begin_what_schedulers_start(self.pipeline_config, self.resource_manager, self.actor_infer)
        super().download_models(*clusters)
        tell_of_engines(self.actor_train, self.actor_infer, self._reached)
        if self.use_ref_model:
            # ROLL v0.2.1 knows of one alone.
            load_together(self.actor_train, getattr(self, "references", {"": self.reference}).values())

    def run(self) -> None:
        """ROLL's loop over the steps, what this process computes in it done faster."""
        with in_place_of_rolls():
            super().run()

    def adjust_batch(self, data: Any, mode: str = "copy") -> Any:
        """The episodes of a step that are learnt from.

        ROLL calls it when the figures of all episodes are known and before anything is computed from their tokens.

        Args:
            data: all of the step's.
            mode: ROLL's `batch_adjust_mode`.
        """
        if self.filter_groups:
            data = with_signal(data, math.lcm(*self._parts()))
        return super().adjust_batch(data, mode)

    def _parts(self) -> Iterator[int]:
        """Of which the number of episodes has to be a multiple: each role's update, and what it reads at once."""
        learners = [self.actor_train, *([self.critic] if hasattr(self, "critic") else [])]
        references = [self.reference] if hasattr(self, "reference") else []
        for role in (*learners, *references):
            yield role.worker_config.infer_batch_size * role.dp_size
        for role in learners:
            training = role.worker_config.training_args
            yield training.per_device_train_batch_size * training.gradient_accumulation_steps * role.dp_size

    def do_checkpoint(self, global_step: int, *args: Any, **kwargs: Any) -> None:
        """Keep what this step's validation has judged if it is the best so far; then save where it is due.

        Where a signal has asked for the run's end, or validations have been no better for long enough, it is due, and
        the run ends when the step's row is written.

        Args:
            global_step: ROLL's step, which has just ended.
            args: what ROLL's own is given besides; versions differ.
            kwargs: likewise.

        Raises:
            EarlyStop: the run ends here.
            KeyboardInterrupt, SystemExit: a signal has asked.
        """
        metrics = self.state.log_history[-1]
        if ASKED_AT in metrics:
            metrics[BEHIND] = global_step - metrics.pop(ASKED_AT)
        if global_step == 0:
            check_signal(metrics, self.min_success, self.say)
        folder = Path(self.pipeline_config.checkpoint_config["output_dir"])
        judged = folder / NAME.format(step=global_step - 1)
        if judged.is_dir():
            score = metrics.get(SCORE)
            keep_best(folder, global_step - 1, score, lambda best: link_actor(judged, best))
        reason = self._reason_to_stop(folder)
        is_last = self.interruption.is_asked or reason is not None
        with self._due_after(global_step + 1, in_any_case=is_last):
            super().do_checkpoint(global_step, *args, **kwargs)
        saved = folder / NAME.format(step=global_step)
        if saved.is_dir() and not self.pipeline_config.checkpoint_config.get("async_upload", True):
            write_manifest(saved)
        if is_last:
            self.tracker.log(values=metrics, step=global_step)  # as ROLL does after this
            self.say(f"[tau-retail] saved after step {global_step}")
            self.interruption.end_if_asked()
        if reason is not None:
            raise EarlyStop(reason)
        self.interruption.finishes = True  # what a step has learnt can be saved: ROLL saves none after step 0

    def _reason_to_stop(self, folder: Path) -> str | None:
        """Why the run ends early with this step; None where it goes on, or ends there anyway."""
        config: Any = self.pipeline_config
        if self.stop_after_worse is None or self.state.step == config.max_steps - 1:
            return None
        scores = scores_of(enumerate(self.state.log_history), config.critic_warmup)
        return reason_to_stop(folder, scores, self.stop_after_worse)

    @contextmanager
    def _due_after(self, updates: int, *, in_any_case: bool) -> Iterator[None]:
        """Have ROLL, which asks whether `save_steps` divides its step, save where it divides the number of updates."""
        config: Any = self.pipeline_config
        every = config.save_steps
        is_due = in_any_case or updates % every == 0
        config.save_steps = 1 if is_due else config.max_steps + 1  # divides each step, or none
        try:
            yield
        finally:
            config.save_steps = every


def check_signal(metrics: Mapping[str, float], min_success: float, say: Callable[[str], None]) -> None:
    """Say how much there is to learn from in the first step, and refuse to go on where it is next to nothing.

    Args:
        metrics: of the step.
        min_success: the least success.
        say: takes the line.

    Raises:
        InvalidValueError: fewer successes than `min_success`; the message says what helps.
    """
    success, without = metrics.get(EARNED), metrics.get(WITHOUT_SIGNAL)
    if success is None:
        return
    groups = "" if without is None else f"{1 - without:.0%} of the groups hold a signal; "
    say(f"[tau-retail] step 0: {groups}success {success:.1%} on tasks that doing nothing does not win")
    if success < min_success:
        raise InvalidValueError(
            f"min_success: step 0 has a success of {success:.1%} on tasks that doing nothing does not win, expected "
            f"{min_success:.1%} or more: there is next to nothing to learn from. Begin with a model that can do a few: "
            "warm_start=sft+rft fine-tunes it first, or pretrain=FOLDER; or take easier tasks (task_source=generated "
            "task_subset=single). min_success=0 trains all the same"
        )


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
