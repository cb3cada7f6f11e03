"""The keys of supervised fine-tuning on oracle conversations, under ROLL's names where ROLL has one."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any

from pydantic import Field

from tau_retail_env.blocks import Block, Filled, raise_if, read
from tau_retail_env.config.environments import CustomEnv, check_environments, unread_limits
from tau_retail_env.config.run import MOST_STEPS
from tau_retail_env.config.tasks import check_tasks, unread_source
from tau_retail_env.config.users import user_problems
from tau_retail_env.local.config.managers import EnvManager, check_generating, check_manager, check_val_batch_size
from tau_retail_env.local.config.run import LocalRun
from tau_retail_env.local.config.unread import unread_by_local
from tau_retail_env.local.config.workers import GeneratingArgs, ModelArgs, TrainingArgs
from tau_retail_env.runs.early_stop import stop_problems
from tau_retail_env.runs.trackers import check_tracker_kwargs

SCRATCH = "scratch"
Weight = Annotated[float, Field(ge=0)]


class NewModel(Block):
    """The shape of a Qwen2 model that starts from random weights."""

    hidden_size: int = Field(256, ge=8)
    """Width of the residual stream."""
    intermediate_size: int = Field(768, ge=8)
    """Width inside the feed-forward layers."""
    num_hidden_layers: int = Field(8, ge=1)
    """Layers."""
    num_attention_heads: int = Field(8, ge=1)
    """Heads of the queries."""
    num_key_value_heads: int = Field(4, ge=1)
    """Heads of the keys and values; divides num_attention_heads."""
    rope_theta: float = Field(10000.0, gt=0)
    """Base of the rotary position embedding."""
    max_position_embeddings: int = Field(2048, ge=16)
    """Longest sequence the model is said to read, in tokens."""
    tie_word_embeddings: bool = True
    """Uses one matrix for reading and for predicting tokens."""


class ConversationArgs(Block):
    """The oracle conversations that are learnt from."""

    tag: str | None = None
    """The environment under custom_envs in which the oracle plays; null where mixture names several."""
    mixture: Mapping[str, Weight] | None = None
    """Environments with a weight for each, instead of tag: {generated: 3, tau2: 1} plays a quarter of the conversations
    in tau2. A weight of 0 leaves an environment out."""
    num: int = Field(ge=1)
    """Conversations of the oracle; beyond the number of tasks, tasks come again in other words."""
    kept: Filled | None = None
    """A folder of episodes that rejection sampling has kept, to be learnt from in the oracle's place."""
    oracle_share: float = Field(0.0, ge=0, lt=1)
    """Beside kept episodes: the oracle's share of all conversations, `num` of them at most."""
    num_workers: int = Field(1, ge=1)
    """Processes that play and encode them."""
    whole_proposals: bool = False
    """Lets the oracle ask for a yes with all that the call will need: the order's status, the id of each item, of a new
    variant every option, its price and its id. What a small model has put into words, it copies into the call."""
    reasons: bool = False
    """Lets the oracle write down, between `<think>` and `</think>`, what it needs beside what it says: a product's list
    in short, what was asked for, which order and items are meant, what becomes different. Neither customer nor tools
    hear of it."""
    second_thoughts: int = Field(0, ge=0, le=50)
    """Most times that the customer changes its mind about a proposal before it says yes, drawn evenly from 0: about the
    new variant, the items or the payment method; each time the agent proposes what is wanted then. So a conversation
    holds many choices, not one."""
    read_every_order: float = Field(0.0, ge=0, le=1)
    """Share of the conversations in which the agent reads all of the customer's orders where it searches for one. In
    the others it stops at the order that is meant, which is then always the one that was read last."""
    slips: float = Field(0.0, ge=0, le=1)
    """Share of the agent's proposals that are wrong at first: another variant, order, address, payment method or tool,
    other items. Of its calls that change the shop half as many are: another tool, an argument that no tool knows, an id
    with a wrong digit. The customer objects or the tool refuses, and the agent goes on as is right. The slips
    themselves are not learnt."""
    mistyped: float = Field(0.0, ge=0, le=1)
    """Share of the conversations whose customer mistypes every fourth long word, so that what was asked must be copied
    and cannot be known by heart. The environment's customer is the same."""
    redraw_identifiers: float | None = Field(None, ge=0, le=1)
    """Replaces the long numbers of every conversation, so that ids must be copied and the shop's cannot be known by
    heart: in this share of the conversations by new ones each time, in the others by always the same. Below 1, because
    from new numbers alone a small model was not seen to learn copying (docs/runs). null keeps the shop's own."""
    own_identifiers: bool = False
    """Keeps the shop's own numbers in those conversations that redraw_identifiers does not give new ones each time:
    what a model then knows by heart is true where it is judged and where reinforcement learning plays."""

    def beside(self, kept: int) -> int:
        """How many conversations of the oracle are played beside so many kept episodes."""
        return min(self.num, round(kept * self.oracle_share / (1 - self.oracle_share)))

    def by_tag(self) -> dict[str, int]:
        """How many conversations are played in each environment: by weight, rounded so that they come to `num`."""
        weights = {self.tag: 1.0} if self.tag is not None else self.mixture or {}
        weights = {tag: weight for tag, weight in weights.items() if weight}
        bounds = [0, *itertools.accumulate(weights.values())]
        ends = [round(self.num * bound / bounds[-1]) if bounds[-1] else 0 for bound in bounds]
        return {tag: end - start for tag, start, end in zip(weights, ends, ends[1:], strict=False)}


class SftTrain(Block):
    """The role whose weights are trained."""

    model_args: ModelArgs = Field(default_factory=ModelArgs)
    """How the model is loaded."""
    training_args: TrainingArgs = Field(default_factory=TrainingArgs)
    """How the weights are changed."""
    sequence_length_round_in_train: int = Field(64, ge=1)
    """Tokens that conversations are padded to a multiple of; from 128 on cuDNN's attention may be used."""
    torch_compile: bool = False
    """Compiles each layer first, which takes a compiler and half a minute; then updates take less time and memory."""


class SftConfig(LocalRun):
    """One run of supervised fine-tuning: everything it reads, checked."""

    model: NewModel | None = None
    """Shape of the model, with pretrain: scratch only."""
    tokenizer: Filled | None = None
    """Folder of the tokenizer, with pretrain: scratch only; null learns one from conversations."""
    vocab_size: int | None = Field(None, ge=512)
    """Most tokens of a tokenizer that is learnt, with pretrain: scratch and tokenizer: null only."""
    conversations: ConversationArgs
    """What is learnt from."""
    observation_loss_weight: float = Field(0.1, ge=0, le=1)
    """Weight of the tokens that are not the agent's own; those weigh 1, and its slips nothing."""
    max_steps: int | None = Field(None, ge=1, le=MOST_STEPS)
    """Updates of the weights; null follows num_train_epochs."""
    sequence_length: int = Field(ge=2)
    """Tokens of a conversation at most; longer ones are left out and counted."""
    max_grad_norm: float = Field(1.0, gt=0)
    """Longest gradient; a longer one is shortened to it."""
    num_gpus_per_node: int | None = Field(None, ge=1)
    """GPUs that learn together, a process on each; null takes all that are visible. Without a GPU: processes that share
    the processor, one for null."""
    sft_train: SftTrain = Field(default_factory=SftTrain)
    """The role whose weights are trained."""
    val_batch_size: int = Field(ge=0)
    """Episodes of the evaluation: num_env_groups times group_size of val_env_manager; 0 judges nothing, as where a
    chain's evaluations do."""
    val_env_manager: EnvManager
    """What is played for judging."""
    custom_envs: Mapping[str, CustomEnv]
    """Environments by tag."""

    @property
    def val_generating_args(self) -> GeneratingArgs:
        """How evaluation episodes are sampled."""
        generating = self.val_env_manager.generating_args
        assert generating is not None, "checked by check_sft"
        return generating


def check_sft(values: Mapping[str, Any], of_machine: Callable[[SftConfig], Iterable[str]] = lambda _: ()) -> SftConfig:
    """Check a composed configuration for supervised fine-tuning.

    Args:
        values: the configuration as `compose` returns it.
        of_machine: what else is wrong with it, on the machine that it is for.

    Returns:
        The configuration as blocks.

    Raises:
        InvalidValueError: lists every key that is unknown, cannot be honoured, or is impossible.
    """
    config = read(SftConfig, values, unread=unread_by_local).resumed()
    shown, judged = config.conversations.by_tag(), config.val_env_manager.tags if config.val_batch_size else ()
    tags = (*shown, *judged)
    raise_if(
        [
            *_check_start(config),
            *check_environments(config.custom_envs, config.sequence_length),
            *unread_limits(config.custom_envs, (tag for tag in shown if tag not in judged)),
            *user_problems(config, config.custom_envs),
            *check_manager("val_env_manager", config.val_env_manager, config.custom_envs),
            *check_tasks(config.custom_envs, tags),
            *(unread_source(config.task_source, config.custom_envs, tags) if "task_source" in values else ()),
            *_check_sizes(config),
            *_check_stop(config),
            *check_tracker_kwargs(config.track_with, config.tracker_kwargs),
            *of_machine(config),
        ]
    )
    return config


def _check_start(config: SftConfig) -> list[str]:
    if config.pretrain != SCRATCH:
        given = [name for name in ("model", "tokenizer", "vocab_size") if getattr(config, name) is not None]
        return [f"{name}: only with pretrain: scratch; {config.pretrain!r} brings its own" for name in given]
    problems = []
    if (config.tokenizer is None) == (config.vocab_size is None):
        problems.append(
            "tokenizer, vocab_size: pretrain: scratch needs one of them: the folder of a tokenizer, or the size of one "
            "that is learnt from conversations"
        )
    shape = config.model or NewModel()
    if shape.hidden_size % shape.num_attention_heads:
        problems.append(
            f"model.num_attention_heads: {shape.num_attention_heads} does not divide hidden_size {shape.hidden_size}"
        )
    if shape.num_attention_heads % shape.num_key_value_heads:
        problems.append(
            f"model.num_key_value_heads: {shape.num_key_value_heads} does not divide "
            f"num_attention_heads {shape.num_attention_heads}"
        )
    if config.sequence_length > shape.max_position_embeddings:
        problems.append(
            f"sequence_length: found {config.sequence_length}, but the model is to read "
            f"{shape.max_position_embeddings} tokens at most (model.max_position_embeddings)"
        )
    return problems


def _check_sizes(config: SftConfig) -> list[str]:
    training = config.sft_train.training_args
    problems = training.problems("sft_train.training_args")
    problems += _check_mixture(config)
    if config.val_batch_size:
        problems += check_generating("val_env_manager", None, config.val_env_manager, config.sequence_length)
        problems += check_val_batch_size(config.val_batch_size, config.val_env_manager)
    batch = training.rows_of_update
    if config.conversations.kept is None and config.conversations.oracle_share:
        problems.append(
            "conversations.oracle_share: only beside kept episodes; name their folder in conversations.kept"
        )
    if config.conversations.kept is None and batch > config.conversations.num:
        problems.append(f"conversations.num: {config.conversations.num} do not fill one batch of {batch}")
    if (config.num_gpus_per_node or 1) > batch:
        problems.append(f"num_gpus_per_node: found {config.num_gpus_per_node}, but an update has {batch} rows")
    return problems


def _check_stop(config: SftConfig) -> list[str]:
    """What is wrong with an early stop; how long a run is that follows its epochs is known when it starts."""
    limit = config.stop_after_worse
    if limit is not None and not config.val_batch_size:
        return [
            "stop_after_worse: nothing is judged (val_batch_size: 0); give val_batch_size, num_env_groups times "
            "group_size of val_env_manager, or remove stop_after_worse"
        ]
    if config.max_steps is None:
        return []
    return stop_problems(limit, eval_steps=config.eval_steps, last_step=config.max_steps)


def _check_mixture(config: SftConfig) -> list[str]:
    """What is wrong with the environments that the oracle plays in."""
    wanted = config.conversations
    if (wanted.tag is None) == (not wanted.mixture):
        return [
            "conversations.tag, conversations.mixture: give one of them: the environment in which the oracle plays, or "
            "several with a weight for each"
        ]
    key = "conversations.tag" if wanted.mixture is None else "conversations.mixture"
    known = config.custom_envs
    problems = [
        f"{key}: {tag!r} is not under custom_envs ({', '.join(known)})" for tag in wanted.by_tag() if tag not in known
    ]
    if not wanted.by_tag():
        problems.append("conversations.mixture: every weight is 0; expected one above 0")
    styles = {tag: known[tag].env_config.prompt_style for tag in wanted.by_tag() if tag in known}
    if len(set(styles.values())) > 1:
        listed = ", ".join(f"{tag} {style}" for tag, style in styles.items())
        problems.append(f"conversations.mixture: one model learns one prompt_style, found {listed}")
    return problems
