"""What our two trainers add to TRL's: whole checkpoints, a warm-up above 0, and one call per step with its numbers."""

from __future__ import annotations

import functools
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from tau_retail_env.local import checkpoint, models
from tau_retail_env.local.config.workers import ModelArgs, TrainingArgs
from tau_retail_env.models.warm_up import start_above_zero
from tau_retail_env.runs.checkpoints import checkpoints_in
from tau_retail_env.runs.folder import RunFolder
from tau_retail_env.runs.interruption import SIGNALS

StepDone = Callable[[int, Mapping[str, float]], None]
"""Takes the number of a finished step and what the trainer measured in it."""


class WholeCheckpoints:
    """Mixed into a trainer: writes its checkpoints through `checkpoint.save`.

    A checkpoint holds weights and tokenizer as `from_pretrained` reads them, and the optimizer's state.
    """

    folder: RunFolder
    updates_per_step: int
    keep: int

    def load_weights(self, path: Path) -> None:
        """Put a checkpoint's weights in the place of the model's own."""
        trainer: Any = self
        trainer._load_from_checkpoint(str(path))

    def save_now(self) -> int:
        """Write a checkpoint of the last finished step where there is none yet.

        Returns:
            That step.
        """
        trainer: Any = self
        step: int = trainer.state.global_step // self.updates_per_step
        if step and step not in dict(checkpoints_in(self.folder.checkpoints)):
            self._save_checkpoint(trainer.model, None)
        return step

    def get_train_dataloader(self) -> Any:
        """The trainer's own; what a signal to all processes asks is the first one's to answer, not its loaders'."""
        theirs: Any = super()
        loader = theirs.get_train_dataloader()
        inner = getattr(loader, "base_dataloader", loader)  # accelerate's wraps torch's
        inner.worker_init_fn = functools.partial(_hold_signals_back, inner.worker_init_fn)
        return loader

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """The trainer's own schedule, whose warm-up begins above 0."""
        theirs: Any = super()
        scheduler = theirs.create_scheduler(num_training_steps, optimizer)
        trainer: Any = self
        start_above_zero(scheduler, trainer.args.get_warmup_steps(num_training_steps))
        return scheduler

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        trainer: Any = self
        step = trainer.state.global_step // self.updates_per_step
        checkpoint.save(self.folder.checkpoints, step, self._write, keep=self.keep)

    def write_weights(self, path: Path) -> None:
        """Write weights and tokenizer into a folder, as `from_pretrained` reads them."""
        trainer: Any = self
        model = trainer.accelerator.unwrap_model(trainer.model)
        while_training, model.config.use_cache = model.config.use_cache, True  # for whoever generates with it
        model.save_pretrained(path)
        model.config.use_cache = while_training
        trainer.processing_class.save_pretrained(path)

    def _write(self, path: Path) -> None:
        trainer: Any = self
        self.write_weights(path)
        torch.save(trainer.optimizer.state_dict(), path / "optimizer.pt")
        torch.save(trainer.lr_scheduler.state_dict(), path / "scheduler.pt")
        trainer.state.save_to_json(str(path / "trainer_state.json"))


class StepRecorder(TrainerCallback):
    """Hands the numbers of each finished step on, before its checkpoint is written.

    Args:
        step_done: called once per step.
        updates_per_step: updates of the weights in a step.
        batch_done: called with the episodes of every batch that went through the model and back.
    """

    def __init__(
        self,
        step_done: StepDone,
        *,
        updates_per_step: int = 1,
        batch_done: Callable[[int], None] = lambda episodes: None,
    ) -> None:
        self._step_done = step_done
        self._updates_per_step = updates_per_step
        self._batch_done = batch_done

    def on_substep_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Called by the trainer after every batch but the last of an update."""
        self._batch_done(args.per_device_train_batch_size)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Called by the trainer after the last batch of an update."""
        self._batch_done(args.per_device_train_batch_size)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Called by the trainer after the last update of a step, and once more after training."""
        if logs and "loss" in logs:
            numbers = {name: value for name, value in logs.items() if isinstance(value, (int, float))}
            self._step_done(state.global_step // self._updates_per_step, numbers)


def _hold_signals_back(begin: Callable[[int], None] | None, worker: int) -> None:
    """Begin a process that loads batches: it ends when the run has no more use for it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    if begin is not None:
        begin(worker)


def shared_arguments(model_args: ModelArgs, training: TrainingArgs, *, num_updates: int) -> dict[str, Any]:
    """The arguments of a TRL configuration that both trainers set alike.

    Args:
        model_args: precision and memory.
        training: ROLL's training_args.
        num_updates: updates of the weights in the whole run.
    """
    use_bf16 = model_args.dtype == "bf16"
    return {
        "max_steps": num_updates,
        "learning_rate": training.learning_rate,
        "lr_scheduler_type": training.lr_scheduler_type,
        "warmup_steps": training.num_warmup_steps(num_updates),
        "weight_decay": training.weight_decay,
        "adam_beta1": training.adam_beta1,
        "adam_beta2": training.adam_beta2,
        "per_device_train_batch_size": training.per_device_train_batch_size,
        "gradient_accumulation_steps": training.gradient_accumulation_steps,
        "dataloader_num_workers": training.dataloader_num_workers,
        "gradient_checkpointing": not model_args.disable_gradient_checkpointing,
        "bf16": use_bf16,
        "fp16": False,
        "use_cpu": models.device().type == "cpu",
        "save_strategy": "steps",
        "logging_strategy": "steps",
        "disable_tqdm": True,
        "report_to": [],
        "remove_unused_columns": False,
    }


def on_one_device(arguments: Any) -> Any:
    """Keep the trainer on the first GPU where several are visible; it would refuse to start otherwise."""
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1
    return arguments
