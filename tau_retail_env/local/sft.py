"""Supervised fine-tuning on oracle conversations: from a checked configuration to outputs/<run>/."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.trainer_callback import PrinterCallback
from trl import SFTConfig as TrlSftConfig
from trl import SFTTrainer

from tau_retail_env.config.customers import check_servers
from tau_retail_env.config.environments import EnvironmentConfig
from tau_retail_env.local import models
from tau_retail_env.local.config import SftConfig
from tau_retail_env.local.config.sft import SCRATCH, ConversationArgs, NewModel
from tau_retail_env.local.conversations import (
    EncodedConversations,
    conversation_texts,
    make_conversations,
)
from tau_retail_env.local.kept_conversations import joined, load_kept
from tau_retail_env.local.loop import Run
from tau_retail_env.local.metrics import SFT_NAMES, renamed
from tau_retail_env.local.rollouts import PlaySettings, Stage
from tau_retail_env.local.run_folder import claim
from tau_retail_env.local.tokenizer import train_tokenizer
from tau_retail_env.local.trainers import (
    StepDone,
    StepRecorder,
    WholeCheckpoints,
    on_one_device,
    shared_arguments,
)
from tau_retail_env.models.checks import set_prompt_style
from tau_retail_env.runs.folder import RunFolder
from tau_retail_env.runs.interruption import resumable
from tau_retail_env.runs.interruption import say as say_line
from tau_retail_env.runs.progress import Journal
from tau_retail_env.runs.summary import Outcome
from tau_retail_env.tasks.seeding import seed_of
from tau_retail_env.users.llm.budget import begin_run

PAD_TO = 64
"""Batches are padded to a multiple of this, so that few shapes occur."""

SORTED_BATCHES = 50
"""Batches among which rows are sorted by length."""

TOKENIZER_CONVERSATIONS = 4000
"""Conversations that a tokenizer is learnt from."""


class ConversationTrainer(WholeCheckpoints, SFTTrainer):
    """TRL's SFT trainer with whole checkpoints and a weight for each token."""

    updates_per_step = 1

    def compute_loss(
        self, model: Any, inputs: Mapping[str, torch.Tensor], return_outputs: bool = False, **_: Any
    ) -> torch.Tensor:
        """Weighted mean of the tokens' negative log-probabilities.

        Args:
            model: the model.
            inputs: `input_ids` and `labels` ``[rows, tokens]``, `weights` ``[rows, tokens]``.
            return_outputs: not supported.
        """
        # Rows are padded on the right, where a causal model does not look: no mask, hence the fast attention kernels.
        outputs = model(input_ids=inputs["input_ids"], labels=inputs["labels"], fused_lm_head=True)
        weights = inputs["weights"][:, 1:]
        return -(outputs.log_probs * weights).sum() / weights.sum()


class Collator:
    """Makes a batch of row numbers into padded tensors.

    Args:
        conversations: the encoded conversations.
        pad_token_id: fills the rows up.
        observation_loss_weight: weight of the tokens that are not the agent's own.
    """

    def __init__(
        self, conversations: EncodedConversations, *, pad_token_id: int, observation_loss_weight: float
    ) -> None:
        self._conversations = conversations
        self._pad_token_id = pad_token_id
        self._weights = np.asarray([observation_loss_weight, 1.0], dtype=np.float32)

    def __call__(self, rows: Sequence[Mapping[str, int]]) -> dict[str, torch.Tensor]:
        """Build `input_ids`, `labels` and `weights`, each ``[rows, tokens]``."""
        data = self._conversations
        spans = [(data.starts[row["row"]], data.starts[row["row"] + 1]) for row in rows]
        width = -(-max(end - start for start, end in spans) // PAD_TO) * PAD_TO
        token_ids = np.full((len(rows), width), self._pad_token_id, dtype=np.int64)
        labels = np.full((len(rows), width), -100, dtype=np.int64)
        weights = np.zeros((len(rows), width), dtype=np.float32)
        for place, (start, end) in enumerate(spans):
            token_ids[place, : end - start] = labels[place, : end - start] = data.token_ids[start:end]
            weights[place, : end - start] = self._weights[data.response_mask[start:end]]
        arrays = {"input_ids": token_ids, "labels": labels, "weights": weights}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


def run(config: SftConfig, values: Mapping[str, Any], *, say: Callable[[str], None] = say_line) -> Outcome:
    """Fine-tune a model, then let it play held-out tasks.

    Args:
        config: the configuration, checked.
        values: the same as `tau_retail_env.config.compose` returns it, for the run's folder.
        say: takes each line for the screen.

    Returns:
        What came out, and where it lies.

    Raises:
        TauRetailError: the folder, the model, the disk or the customer does not allow it.
        RunStoppedError: it had begun, and no customer can be had any more.
    """
    models.quiet()
    model_args = config.sft_train.model_args
    models.check_precision(model_args, "sft_train.model_args")
    journal = Journal(say)
    with (
        claim(config, values) as folder,
        resumable(folder, journal),
        Run(config, values, folder, model_args, journal) as here,
    ):
        begin_run()
        judged = config.val_env_manager.tags if config.val_batch_size else ()
        check_servers(config.custom_envs, (*config.conversations.by_tag(), *judged))
        model, tokenizer = here.load(lambda: _start_model(config))
        set_prompt_style(model.config, next(iter(_envs(config).values())).prompt_style)
        val = PlaySettings(manager=config.val_env_manager, generating=config.val_generating_args)
        plays = {"val": val} if judged else {}
        stage = Stage(config.custom_envs, plays, model, tokenizer, model_args, config.sequence_length)
        conversations = here.timed("oracle conversations", lambda: _conversations(config, tokenizer))
        training = config.sft_train.training_args
        batch_size = training.per_device_train_batch_size * training.gradient_accumulation_steps
        num_updates = config.max_steps or max(1, int(len(conversations) * training.num_train_epochs) // batch_size)
        journal(_about(conversations, num_updates))
        here.begin(stage, num_steps=num_updates, evaluate_before=config.pretrain != SCRATCH)
        order = batch_order(conversations.lengths, batch_size=batch_size, num_batches=num_updates, seed=config.seed)

        def step_done(step: int, numbers: Mapping[str, float]) -> None:
            here.step_done(step, renamed(numbers, SFT_NAMES))

        here.train(make_trainer(model, tokenizer, config, folder, conversations, order, step_done))
        return here.finish()


def make_trainer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    config: SftConfig,
    folder: RunFolder,
    conversations: EncodedConversations,
    order: Sequence[int],
    step_done: StepDone,
) -> ConversationTrainer:
    """Build the trainer of a run.

    Args:
        model: the model.
        tokenizer: its tokenizer.
        config: the run.
        folder: where checkpoints go.
        conversations: what is learnt from.
        order: rows of the conversations, batch after batch.
        step_done: called with the numbers of each step before its checkpoint is written.
    """
    training = config.sft_train.training_args
    num_updates = len(order) // (training.per_device_train_batch_size * training.gradient_accumulation_steps)
    arguments = TrlSftConfig(
        output_dir=str(folder.path),
        **shared_arguments(config.sft_train.model_args, training, num_updates=num_updates),
        seed=config.seed,
        logging_steps=1,
        save_steps=config.save_steps,
        max_grad_norm=config.max_grad_norm,
        train_sampling_strategy="sequential",
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None,
    )
    trainer = ConversationTrainer(
        model=model,
        args=on_one_device(arguments),
        data_collator=Collator(
            conversations,
            pad_token_id=tokenizer.pad_token_id,
            observation_loss_weight=config.observation_loss_weight,
        ),
        train_dataset=Dataset.from_dict({"row": list(order)}),
        processing_class=tokenizer,
        callbacks=[StepRecorder(step_done)],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.model_accepts_loss_kwargs = False  # the loss is a mean: the trainer divides by the passes of an update
    trainer.folder, trainer.keep = folder, config.max_ckpt_to_keep
    return trainer


def batch_order(lengths: np.ndarray, *, batch_size: int, num_batches: int, seed: int) -> list[int]:
    """Rows in the order in which they are learnt from: every row once an epoch, rows of like length side by side.

    Args:
        lengths: tokens of each row.
        batch_size: rows in one update of the weights.
        num_batches: updates.
        seed: decides the order.

    Returns:
        `batch_size * num_batches` row numbers.
    """
    order: list[int] = []
    epoch = 0
    while len(order) < batch_size * num_batches:
        order += _epoch(lengths, batch_size, random.Random(seed_of(seed, "batches", epoch)))
        epoch += 1
    return order[: batch_size * num_batches]


def _start_model(config: SftConfig) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    if config.pretrain != SCRATCH:
        return models.load(config.pretrain, config.sft_train.model_args, sequence_length=config.sequence_length)
    tokenizer = _learn_tokenizer(config) if config.tokenizer is None else models.load_tokenizer(config.tokenizer)
    return models.make(config.model or NewModel(), tokenizer, config.seed), tokenizer


def _learn_tokenizer(config: SftConfig) -> PreTrainedTokenizerBase:
    assert config.vocab_size is not None, "checked by check_sft"
    share = min(1.0, TOKENIZER_CONVERSATIONS / config.conversations.num)
    nums = {tag: max(1, round(num * share)) for tag, num in config.conversations.by_tag().items()}
    envs = _envs(config)
    texts = [text for tag, num in nums.items() for text in conversation_texts(envs[tag], num, seed=config.seed)]
    tokenizer = train_tokenizer(texts, config.vocab_size)
    tokenizer.padding_side = "left"
    return tokenizer


def _conversations(config: SftConfig, tokenizer: PreTrainedTokenizerBase) -> EncodedConversations:
    wanted = config.conversations
    if wanted.kept is None:
        return _oracle_conversations(config, wanted, tokenizer)
    kept = load_kept(config, Path(wanted.kept).expanduser(), tokenizer)
    if not (num := wanted.beside(len(kept))):
        return kept
    return joined(kept, _oracle_conversations(config, wanted.model_copy(update={"num": num}), tokenizer))


def _oracle_conversations(
    config: SftConfig, wanted: ConversationArgs, tokenizer: PreTrainedTokenizerBase
) -> EncodedConversations:
    envs, longest = _envs(config), config.sequence_length
    return make_conversations(envs, tokenizer, wanted, seed=config.seed, longest=longest)


def _envs(config: SftConfig) -> dict[str, EnvironmentConfig]:
    """The environments that the oracle plays in, by tag."""
    return {tag: config.custom_envs[tag].env_config for tag in config.conversations.by_tag()}


def _epoch(lengths: np.ndarray, batch_size: int, draws: random.Random) -> list[int]:
    rows = list(range(len(lengths)))
    draws.shuffle(rows)
    rows = rows[: max(len(rows) // batch_size, 1) * batch_size]
    batches = []
    for start in range(0, len(rows), batch_size * SORTED_BATCHES):
        block = sorted(rows[start : start + batch_size * SORTED_BATCHES], key=lambda row: int(lengths[row]))
        batches += [block[place : place + batch_size] for place in range(0, len(block), batch_size)]
    draws.shuffle(batches)
    return [row for batch in batches for row in batch]


def _about(conversations: EncodedConversations, num_updates: int) -> str:
    own, tokens = int(conversations.response_mask.sum()), len(conversations.token_ids)
    unscorable = f", {conversations.num_unscorable} whose customer failed" if conversations.num_unscorable else ""
    return (
        f"{len(conversations)} conversations, {tokens / len(conversations):.0f} tokens each, {own / tokens:.0%} the "
        f"agent's own ({conversations.num_failed} without reward{unscorable} and {conversations.num_long} too long "
        "left out); "
        f"{num_updates} updates"
    )
