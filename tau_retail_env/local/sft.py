"""Supervised fine-tuning on oracle conversations: from a checked configuration to outputs/<run>/."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.trainer_callback import PrinterCallback
from trl import SFTConfig as TrlSftConfig
from trl import SFTTrainer

from tau_retail_env.config.environments import EnvironmentConfig
from tau_retail_env.config.users import check_servers
from tau_retail_env.local import models
from tau_retail_env.local.batches import Collator, Update, updates_of
from tau_retail_env.local.config import SftConfig
from tau_retail_env.local.config.sft import SCRATCH, ConversationArgs, NewModel, SftTrain
from tau_retail_env.local.conversations import (
    EncodedConversations,
    Whose,
    conversation_texts,
    make_conversations,
)
from tau_retail_env.local.gradient_workers import GradientWorkers, num_processes
from tau_retail_env.local.kept_conversations import joined, load_kept
from tau_retail_env.local.learner import Learner
from tau_retail_env.local.loop import started
from tau_retail_env.local.metrics import SFT_NAMES, renamed
from tau_retail_env.local.rollouts import PlaySettings, Rollouts
from tau_retail_env.local.tokenizer import train_tokenizer
from tau_retail_env.local.trainers import (
    StepDone,
    StepRecorder,
    WholeCheckpoints,
    on_one_device,
    shared_arguments,
)
from tau_retail_env.models.checks import set_prompt_style
from tau_retail_env.models.rows import FEW_LENGTHS
from tau_retail_env.runs.folder import RunFolder
from tau_retail_env.runs.interruption import say as say_line
from tau_retail_env.runs.summary import Outcome

TOKENIZER_CONVERSATIONS = 4000
"""Conversations that a tokenizer is learnt from."""


class ConversationTrainer(WholeCheckpoints, SFTTrainer):
    """TRL's SFT trainer with whole checkpoints, whose batch is a whole update."""

    updates_per_step = 1
    learner: Learner
    workers: GradientWorkers

    def training_step(self, model: Any, inputs: Mapping[str, Any], *_: Any) -> torch.Tensor:
        """Add up the gradients of an update's passes.

        Args:
            model: the model.
            inputs: the passes that `Collator` makes.
        """
        return self.workers.gradients(self.learner, self._prepare_inputs(inputs)["passes"], inputs["others"])

    def floating_point_ops(self, inputs: Mapping[str, Any]) -> int:
        """Not counted: the trainer would look for `input_ids` in the batch."""
        return 0


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
        RunStoppedError: it had begun, and no customer is available any more, or a process that learnt with it died.
    """
    model_args, training = config.sft_train.model_args, config.sft_train.training_args
    workers = GradientWorkers(num_processes(config.num_gpus_per_node, training.rows_of_update))
    with started(config, values, model_args, role="sft_train", say=say) as here, workers:
        judged = config.val_env_manager.tags if config.val_batch_size else ()
        check_servers(config.custom_envs, (*config.conversations.by_tag(), *judged))
        model, tokenizer = here.load(lambda: _start_model(config))
        workers.start(model, **arithmetic(config.sft_train))
        judged_with = config.val_env_manager.generating_args
        set_prompt_style(
            model.config,
            next(iter(_envs(config).values())).prompt_style,
            judged_with.max_new_tokens if judged_with else None,
        )
        plays = {}
        if judged:
            plays["val"] = PlaySettings(manager=config.val_env_manager, generating=config.val_generating_args)
        rollouts = Rollouts(config.custom_envs, plays, model, tokenizer, model_args, config.sequence_length)
        conversations = here.timed("oracle conversations", lambda: _conversations(config, tokenizer))
        epochs = len(conversations) * training.num_train_epochs
        num_updates = config.max_steps or max(1, int(epochs) // training.rows_of_update)
        here.say(_about(conversations, num_updates, workers.processes))
        here.begin(rollouts, num_steps=num_updates, evaluate_before=config.pretrain != SCRATCH)
        updates = updates_of(
            conversations,
            rows=training.per_device_train_batch_size,
            passes=training.gradient_accumulation_steps,
            num_updates=num_updates,
            seed=config.seed,
        )

        def step_done(step: int, numbers: Mapping[str, float]) -> None:
            here.step_done(step, renamed(numbers, SFT_NAMES))

        here.train(make_trainer(model, tokenizer, config, here.folder, conversations, updates, step_done, workers))
        return here.finish()


def make_trainer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    config: SftConfig,
    folder: RunFolder,
    conversations: EncodedConversations,
    updates: Sequence[Update],
    step_done: StepDone,
    workers: GradientWorkers,
) -> ConversationTrainer:
    """Build the trainer of a run.

    Args:
        model: the model.
        tokenizer: its tokenizer.
        config: the run.
        folder: where checkpoints go.
        conversations: what is learnt from.
        updates: rows of the conversations, update after update.
        step_done: called with the numbers of each step before its checkpoint is written.
        workers: the processes that learn, started.
    """
    model_args, training = config.sft_train.model_args, config.sft_train.training_args
    shared = shared_arguments(model_args, training, num_updates=len(updates))
    arguments = TrlSftConfig(
        output_dir=str(folder.path),
        **shared | {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 1},
        seed=config.seed,
        logging_steps=1,
        save_steps=config.save_steps,
        max_grad_norm=config.max_grad_norm,
        train_sampling_strategy="sequential",
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None,
    )
    learner = Learner(model, **arithmetic(config.sft_train))
    trainer = ConversationTrainer(
        model=model,
        args=on_one_device(arguments),
        data_collator=Collator(
            conversations,
            pad_token_id=tokenizer.pad_token_id,
            observation_loss_weight=config.observation_loss_weight,
            multiple=config.sft_train.sequence_length_round_in_train,
            processes=workers.processes,
        ),
        train_dataset=Dataset.from_dict({"rows": list(updates)}),
        processing_class=tokenizer,
        callbacks=[StepRecorder(step_done)],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.learner, trainer.workers = learner, workers
    trainer.folder, trainer.keep = folder, config.max_ckpt_to_keep
    return trainer


def arithmetic(train: SftTrain) -> dict[str, bool]:
    """How every process that learns computes: arguments of `Learner`.

    Args:
        train: precision, memory, padding and compilation.
    """
    return {
        "bf16": train.model_args.dtype == "bf16",
        "checkpointing": not train.model_args.disable_gradient_checkpointing,
        "cudnn": train.sequence_length_round_in_train >= FEW_LENGTHS,
        "compiled": train.torch_compile,
    }


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
    whole = config.conversations.whole_proposals
    texts = [
        text
        for tag, num in nums.items()
        for text in conversation_texts(envs[tag], num, seed=config.seed, whole_proposals=whole)
    ]
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


def _about(conversations: EncodedConversations, num_updates: int, processes: int) -> str:
    own, tokens = int((conversations.response_mask == Whose.OWN).sum()), len(conversations.token_ids)
    unscorable = f", {conversations.num_unscorable} whose customer failed" if conversations.num_unscorable else ""
    kind = "GPUs" if torch.cuda.is_available() else "processes"
    where = f" on {processes} {kind}" if processes > 1 else ""
    return (
        f"{len(conversations)} conversations, {tokens / len(conversations):.0f} tokens each, {own / tokens:.0%} the "
        f"agent's own ({conversations.num_failed} without reward{unscorable} and {conversations.num_long} too long "
        "left out); "
        f"{num_updates} updates{where}"
    )
