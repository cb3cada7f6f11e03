"""GRPO on played episodes: TRL's trainer, and the function that plays a step's episodes for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.trainer_callback import PrinterCallback
from trl import GRPOConfig, GRPOTrainer

from tau_retail_env.episodes.plan import EpisodeRequest, TrainingPlan
from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.local.config import LocalConfig
from tau_retail_env.local.trainers import (
    StepDone,
    StepRecorder,
    WholeCheckpoints,
    on_one_device,
    shared_arguments,
)
from tau_retail_env.runs.folder import RunFolder
from tau_retail_env.runs.trajectories import write_trajectories
from tau_retail_env.tasks.seeding import seed_of

PlayGroups = Callable[[Sequence[EpisodeRequest], int], list[Trajectory]]
"""Plays episodes with the weights as they are after a number of steps."""
LOSS_TYPES: Mapping[str, str] = {"seq-mean-token-mean": "grpo", "token-mean": "dapo"}
"""TRL's name of the loss by ROLL's loss_agg_mode."""
SCALE_REWARDS: Mapping[str, str] = {"mean_std": "group", "mean": "none"}
"""TRL's name of the scaling by ROLL's reward_normalization.method."""


class EpisodeTrainer(WholeCheckpoints, GRPOTrainer):
    """TRL's GRPO trainer with whole checkpoints, which spends little on padding.

    TRL pads all episodes of a step to the longest one. Here episodes of like length go through the model together, and
    columns that are padding in all of them are left out; what is computed is the same.
    """

    _buffered_inputs: Any

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        before = self._buffered_inputs
        inputs = super()._prepare_inputs(generation_batch)
        if self._buffered_inputs is before:
            return inputs
        passes = self.args.gradient_accumulation_steps
        batches = self._buffered_inputs
        self._buffered_inputs = [
            batch for start in range(0, len(batches), passes) for batch in _by_length(batches[start : start + passes])
        ]
        return self._buffered_inputs[self._step % self.args.steps_per_generation]

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        **_: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, None]:
        """Log-probabilities and entropies ``[rows, logits_to_keep]`` of the last columns, 0 where there is no token."""
        lengths = attention_mask.sum(dim=1)
        order = lengths.argsort(stable=True)
        parts = []
        for rows in order.split(batch_size or len(order)):
            columns, real = _without_padding(attention_mask[rows], int(lengths[rows].max()))
            kept = columns - (input_ids.shape[1] - logits_to_keep)
            ids = input_ids[rows].gather(1, columns)
            labels = ids.masked_fill(~real | (kept < 0), -100)
            # Padding is on the right now, where a causal model does not look: no mask, hence half the attention.
            with self.accelerator.autocast():
                outputs = model(input_ids=ids, labels=labels, fused_lm_head=True)
            places = kept.masked_fill(labels == -100, logits_to_keep)[:, 1:]
            parts.append([_placed(values, places, logits_to_keep) for values in (outputs.log_probs, outputs.entropy)])
        back = order.argsort()
        logps, entropies = (
            None if column[0] is None else torch.cat(column)[back] for column in zip(*parts, strict=True)
        )
        return logps, entropies, None


class RolloutFunction:
    """TRL's rollout function: plays the groups whose numbers it is given.

    Args:
        plan: what each group plays.
        play: plays episodes with the weights as they are.
        folder: the trajectories are written to it.
        config: sizes and the run's seed.
    """

    def __init__(self, plan: TrainingPlan, play: PlayGroups, folder: RunFolder, config: LocalConfig) -> None:
        self._plan = plan
        self._play = play
        self._folder = folder
        self._config = config
        self.trajectories: list[Trajectory] = []
        self.seconds = 0.0

    def __call__(self, prompts: Sequence[str], trainer: GRPOTrainer) -> dict[str, Any]:
        """Play one step.

        Args:
            prompts: the number of its group for each episode, siblings side by side.
            trainer: the trainer, whose weights play.

        Returns:
            TRL's fields: `prompt_ids` (up to the agent's first token), `completion_ids` (the rest), `logprobs`,
            `env_mask` (1 on the agent's own tokens), and `episode_reward` (None where the episode cannot be scored).
        """
        start = time.perf_counter()
        positions = [int(prompt) for prompt in prompts[:: self._config.group_size]]
        step = positions[0] // self._config.groups_per_step + 1
        episodes = [episode for position in positions for episode in self._plan.group(position)]
        self.trajectories = self._play(episodes, step - 1)
        write_trajectories(self._folder.trajectories("train", step), self.trajectories)
        self._plan.learn(self.trajectories)
        torch.manual_seed(seed_of(self._config.seed, "updates", step))  # a resumed run shuffles as this one does
        self.seconds = time.perf_counter() - start
        filler = trainer.processing_class.eos_token_id
        fields = [_fields(trajectory, filler) for trajectory in self.trajectories]
        return {name: [row[name] for row in fields] for name in fields[0]}


def make_trainer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    config: LocalConfig,
    folder: RunFolder,
    rollout: RolloutFunction,
    step_done: StepDone,
    batch_done: Callable[[int], None] = lambda episodes: None,
) -> EpisodeTrainer:
    """Build the trainer of a run.

    Args:
        model: the actor; the reference is loaded from where it came from.
        tokenizer: the actor's tokenizer.
        config: the run.
        folder: where checkpoints go.
        rollout: plays the episodes.
        step_done: called with the numbers of each step before its checkpoint is written.
        batch_done: called with the episodes of every batch that went through the model and back.
    """
    groups = config.max_steps * config.groups_per_step
    trainer = EpisodeTrainer(
        model=model,
        args=on_one_device(GRPOConfig(output_dir=str(folder.path), **arguments(config))),
        reward_funcs=_episode_reward,
        train_dataset=Dataset.from_dict({"prompt": [str(position) for position in range(groups)]}),
        processing_class=tokenizer,
        callbacks=[StepRecorder(step_done, updates_per_step=config.updates_per_step, batch_done=batch_done)],
        rollout_func=rollout,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.folder, trainer.keep = folder, config.max_ckpt_to_keep
    trainer.updates_per_step = config.updates_per_step
    return trainer


def arguments(config: LocalConfig) -> dict[str, Any]:
    """TRL's arguments by name, from ROLL's keys."""
    training = config.actor_train.training_args
    updates = config.updates_per_step
    low, high = (config.pg_clip_low, config.pg_clip_high) if config.use_pg_clip_range else (config.pg_clip,) * 2
    return {
        **shared_arguments(config.actor_train.model_args, training, num_updates=config.max_steps * updates),
        "seed": config.seed,
        "logging_steps": updates,
        "save_steps": config.save_steps * updates,
        "steps_per_generation": config.rollout_batch_size // training.per_device_train_batch_size,
        "num_generations": config.group_size,
        "num_iterations": config.ppo_epochs,
        "max_completion_length": config.sequence_length,
        "shuffle_dataset": False,
        "temperature": config.train_generating_args.temperature,
        "beta": config.kl_loss_coef if config.use_kl_loss else 0.0,
        "use_bias_correction_kl": False,
        "epsilon": low,
        "epsilon_high": high,
        "entropy_coef": config.entropy_loss_coef,
        "loss_type": LOSS_TYPES[config.loss_agg_mode],
        "scale_rewards": SCALE_REWARDS[config.reward_normalization.method],
        "max_grad_norm": config.max_grad_norm,
        "disable_dropout": True,
        "model_init_kwargs": {"device_map": None},  # the reference is loaded whole, onto the actor's device
    }


def _without_padding(attention_mask: torch.Tensor, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Columns ``[rows, width]`` that bring each row's tokens to its left end, and which of them hold a token."""
    places = torch.arange(width, device=attention_mask.device)
    columns = attention_mask.argmax(dim=1, keepdim=True) + places
    real = places < attention_mask.sum(dim=1, keepdim=True)
    return columns.clamp(max=attention_mask.shape[1] - 1), real


def _placed(values: torch.Tensor | None, places: torch.Tensor, width: int) -> torch.Tensor | None:
    """Put values into rows of a width, each at its place; a place beyond the width drops its value."""
    if values is None:
        return None
    return values.new_zeros(len(values), width + 1).scatter(1, places, values)[:, :width]


def _by_length(batches: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Hand the rows of some batches round, so that rows of like length share a batch; every batch keeps its size."""
    sizes = [len(batch["prompt_ids"]) for batch in batches]
    lengths = torch.cat([batch["prompt_mask"].sum(dim=1) + batch["completion_mask"].sum(dim=1) for batch in batches])
    rows = lengths.argsort(stable=True).split(sizes)
    merged = {
        name: torch.cat([batch[name] for batch in batches])
        for name, value in batches[0].items()
        if isinstance(value, torch.Tensor) and value.ndim
    }
    return [
        {**batch, **{name: value[chosen] for name, value in merged.items()}}
        for batch, chosen in zip(batches, rows, strict=True)
    ]


def _fields(trajectory: Trajectory, filler: int) -> dict[str, Any]:
    """One episode as TRL wants it; an episode without a word of the agent becomes one token that counts for nothing."""
    tokens, mask = list(trajectory.token_ids), list(trajectory.response_mask)
    start = trajectory.prompt_length
    reward = trajectory.reward if trajectory.scorable and 1 in mask else None
    rest = tokens[start:] or [filler]
    kept = mask[start:] or [0]
    return {
        "prompt_ids": tokens[:start] or [filler],
        "completion_ids": rest,
        "logprobs": list(trajectory.logprobs[start:]) or [0.0],
        "env_mask": kept if reward is not None else [0] * len(kept),
        "episode_reward": reward,
    }


def _episode_reward(episode_reward: list[float | None], **_: Any) -> list[float | None]:
    """TRL's reward function: the environment has given the reward already."""
    return episode_reward
