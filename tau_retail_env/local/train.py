"""The local engine: from a checked configuration to outputs/<run>/."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tau_retail_env.config.environments import message_limits, prompt_styles
from tau_retail_env.config.users import check_servers
from tau_retail_env.episodes.plan import EpisodeRequest, TrainingPlan
from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.local import models
from tau_retail_env.local.config import LocalConfig
from tau_retail_env.local.duration import estimate
from tau_retail_env.local.grpo import RolloutFunction, make_trainer
from tau_retail_env.local.loop import started
from tau_retail_env.local.metrics import GRPO_NAMES, renamed, training_row
from tau_retail_env.local.rollouts import PlaySettings, Rollouts
from tau_retail_env.models.checks import cut_messages
from tau_retail_env.models.shipped import checkpoint
from tau_retail_env.runs.folder import RunFolder
from tau_retail_env.runs.interruption import say as say_line
from tau_retail_env.runs.summary import Outcome
from tau_retail_env.runs.trajectories import read_trajectories


def train(config: LocalConfig, values: Mapping[str, Any], *, say: Callable[[str], None] = say_line) -> Outcome:
    """Train a model with GRPO and compare it with itself before.

    Args:
        config: the configuration, checked.
        values: the same as `tau_retail_env.config.compose` returns it, for the run's folder.
        say: takes each line for the screen.

    Returns:
        What came out, and where it lies.

    Raises:
        TauRetailError: the folder, the model, the disk or the customer does not allow it.
        RunStoppedError: it had begun, and no customer is available any more.
    """
    model_args = config.actor_train.model_args
    with started(config, values, model_args, role="actor_train", say=say) as run:
        tags = config.train_env_manager.tags + config.val_env_manager.tags
        check_servers(config.custom_envs, tags)
        styles = prompt_styles(config.custom_envs, tags)
        model, tokenizer = run.load(
            lambda: models.load(
                config.pretrain, model_args, prompt_styles=styles, sequence_length=config.sequence_length
            )
        )
        for line in cut_messages(checkpoint(config.pretrain), message_limits(values)):
            run.say(line)
        plays = {
            "train": PlaySettings(manager=config.train_env_manager, generating=config.train_generating_args),
            "val": PlaySettings(manager=config.val_env_manager, generating=config.val_generating_args),
        }
        rollouts = Rollouts(config.custom_envs, plays, model, tokenizer, model_args, config.sequence_length)
        plan = TrainingPlan(rollouts.tasks, config.train_env_manager, seed=config.seed, curriculum=config.curriculum)
        if config.curriculum is not None:
            for path in _played_before(run.folder):
                plan.learn(read_trajectories(path))

        tasks = {task.id: task for pool in rollouts.tasks.values() for task in pool}
        tries: list[Trajectory] = []

        def play(episodes: Sequence[EpisodeRequest], step: int) -> list[Trajectory]:
            with run.recording(step + 1) as record:
                found = rollouts.play_some(
                    "train", episodes, step=step, label=f"step {step + 1}: playing", record=record
                )
            tries[:] = record
            run.learning(step + 1, len(found) * config.ppo_epochs)
            return found

        rollout = RolloutFunction(plan, play, run.folder, config)

        def step_done(step: int, numbers: Mapping[str, float]) -> None:
            row = training_row(rollout.trajectories, tasks, tries, mixed=run.has_mixed_customers)
            run.step_done(step, renamed(numbers, GRPO_NAMES) | row, rollout_s=rollout.seconds)

        trainer = make_trainer(model, tokenizer, config, run.folder, rollout, step_done, run.batch_learnt)
        about = f"{config.rollout_batch_size} episodes each"
        run.begin(rollouts, num_steps=config.max_steps, about=about, duration=estimate(model, config))
        run.train(trainer)
        return run.finish()


def _played_before(folder: RunFolder) -> list[Path]:
    """The files of what a resumed run has learnt from.

    Raises:
        InvalidValueError: one is not there any more.
    """
    files = [folder.trajectories("train", step) for step in range(1, folder.step + 1)]
    if missing := [path for path in files if not path.is_file()]:
        raise InvalidValueError(
            f"curriculum: {missing[0]} is not there, and a resumed run draws tasks by all that it has played: put it "
            f"back, or start a new run from the weights (pretrain={folder.checkpoint}, without resume)"
        )
    return files
