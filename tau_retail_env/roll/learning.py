"""How the learners of a ROLL run compute: several rows at once, sorted by length, and of the actor's tokens alone."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from roll.platforms import current_platform
from roll.utils.functionals import append_to_dict, entropy_from_logits, log_probs_from_logits, reduce_metrics
from torch import Tensor
from torch.distributed.fsdp import FSDPModule
from torch.utils.checkpoint import checkpoint

from tau_retail_env.models.rows import FEW_LENGTHS, attend_without_mask, by_length, fuse_norms, rounded

LOGITS = 2**27
"""Logits that are taken to fp32 at a time, 0.5 GiB: 883 tokens of Qwen's vocabulary, 2,730 of SmolLM2's."""
SMALL = 0.05
"""Share of a GPU's memory up to which a role's weights stay there while the rollout engine plays."""

Loss = Callable[[Any, Tensor], tuple[Tensor, dict[str, Any]]]
"""ROLL's: the loss of some rows, and metrics, from these and the model's output."""


@dataclass(frozen=True)
class Sizes:
    """How large micro-batches are."""

    tokens: int | None = None
    """Of a micro-batch at most, padding included; one longer row is a micro-batch of its own. None is
    `sequence_length`."""
    multiple: int = 1
    """Of tokens, to which its rows are padded."""


def trim_padding(
    strategy: Any, *, train: Sizes | None = None, infer: Sizes | None = None, values: bool = False
) -> Rows | None:
    """Have an FSDP2 strategy skip padding and tokens that do not count, and compute many rows at a time.

    ROLL's own runs the model over a fixed number of rows padded to `sequence_length`, and takes log-probabilities and
    entropy of each of their tokens, in several fp32 copies of the logits. The results are the same at the tokens that
    count, but for rounding (benchmarks/roll_learning.py).

    Args:
        strategy: ROLL's, initialized. One that divides a sequence among GPUs (`ulysses_size`) stays as it is.
        train: micro-batches with a gradient.
        infer: those without. PyTorch has one order of attention kernels for a process: cuDNN's is in where both kinds
            of micro-batches have few different lengths.
        values: whether the model is a critic, whose output is one value a token and whose loss is a mean over rows.

    Returns:
        What runs the model now; None where it stays as it is.
    """
    if strategy.worker.rank_info.cp_size > 1:
        return None
    train, infer = train or Sizes(), infer or Sizes()
    rows = Rows(strategy, train, infer, values)
    strategy.train_step, strategy.forward_step = rows.train_step, rows.forward_step
    strategy.op_compute_log_probs, strategy.op_compute_entropy = rows.log_probs, rows.entropy
    fuse_norms(strategy.model)
    attend_without_mask(strategy.model, cudnn=min(train.multiple, infer.multiple) >= FEW_LENGTHS)
    if _is_small(strategy.model):
        strategy.offload_states = _only_the_cache
        rows.keep_gathered()
    return rows


@dataclass(frozen=True)
class _MicroBatch:
    """Rows that go through the model together, and where the actor's tokens stand in them, row after row."""

    rows: Any
    """ROLL's, padded to its length."""
    length: int
    """Tokens of each row, padding included."""
    row: Tensor
    """The row of each of the actor's tokens."""
    before: Tensor
    """The place in its row of the token before it: what it is drawn from."""


class Rows:
    """Runs a strategy's model over the rows of a batch, in micro-batches of rows about equally long.

    Between micro-batches nothing is asked of the GPU whose answer the CPU would have to wait for, but for what ROLL's
    losses ask: all lengths and places are read once for each batch.
    """

    def __init__(self, strategy: Any, train: Sizes, infer: Sizes, values: bool) -> None:
        self.strategy, self.values, self.train, self.infer = strategy, values, train, infer
        self._now: _MicroBatch
        if not values:
            strategy.model.get_output_embeddings().register_forward_pre_hook(self._choose)

    def keep_gathered(self) -> None:
        """Have FSDP2 gather the weights, and cast them to bf16, once for a batch instead of twice a micro-batch."""
        self.strategy.model.set_reshard_after_forward(False)
        self.strategy.model.set_reshard_after_backward(False)

    def train_step(self, batch: Any, loss_func: Loss) -> dict[str, Any]:
        """One update of the weights, in place of ROLL's: the same gradient from other micro-batches.

        Args:
            batch: the rows of one update.
            loss_func: an actor's divides by the tokens or rows of all GPUs, so that micro-batches add up; a critic's
                is the mean over the rows that it gets, which is weighted here with their number.

        Returns:
            ROLL's metrics, one number each.
        """
        strategy = self.strategy
        metrics: dict[str, Any] = {}
        strategy.model.train()
        self._count(batch)
        _, micro_batches = self._micro_batches(batch, self.train)
        reports: list[dict[str, Any]] = []
        shares = [len(one.rows) / len(batch) for one in micro_batches]
        for number, one in enumerate(micro_batches):
            with self._accumulating(is_last=number + 1 == len(micro_batches)), self._autocast():
                loss, reduced = loss_func(one.rows, self._output(one))
                # FSDP2 takes the mean of the GPUs' gradients.
                (loss * (shares[number] if self.values else strategy.worker.rank_info.dp_size)).backward()
            reports.append(reduced)
        self._let_go()
        if self.values:
            reports = [{name: _mean([one[name] for one in reports], shares) for name in reports[0]}]
        for reduced in reports:
            append_to_dict(metrics, reduced)
        # ROLL's worker reduces a step's updates together, which lists of unlike length would not allow.
        metrics = reduce_metrics(metrics)
        norm = strategy._clip_grad_norm(max_norm=strategy.worker.pipeline_config.max_grad_norm).item()
        if math.isfinite(norm):
            strategy.optimizer.step()
        strategy.scheduler.step()
        strategy.optimizer.zero_grad(set_to_none=True)
        metrics[f"{strategy.worker_config.name}/grad_norm"] = norm
        if torch.cuda.is_available():
            metrics["system/max_memory_allocated@max"] = torch.cuda.max_memory_allocated() / 2**30
            metrics["system/max_memory_reserved@max"] = torch.cuda.max_memory_reserved() / 2**30
        return metrics

    @torch.no_grad()
    def forward_step(self, batch: Any, forward_func: Loss) -> dict[str, Tensor]:
        """What ROLL's does, in the order of the batch's rows.

        Args:
            batch: any number of rows.
            forward_func: takes from the model's output what is wanted.

        Returns:
            Tensors by name, one row for each of the batch's.
        """
        self.strategy.model.eval()
        self._count(batch)
        order, micro_batches = self._micro_batches(batch, self.infer)
        found: list[dict[str, Tensor]] = []
        for one in micro_batches:
            with self._autocast():
                found.append(forward_func(one.rows, self._output(one))[1])
        self._let_go()
        back = order.argsort()
        return {name: torch.cat([one[name] for one in found])[back] for name in found[0]}

    @torch.no_grad()
    def head_inputs(self, batch: Any) -> Iterator[tuple[Any, Tensor, Tensor, Tensor]]:
        """What a critic's head sees at the actor's tokens.

        Args:
            batch: any number of rows.

        Yields:
            Some rows, longest of the batch first; the row of each of the actor's tokens in them; the place of the token
            before it, whose value it has; the hidden states there, of shape (tokens, hidden).
        """
        self.strategy.model.eval()
        seen: list[Tensor] = []
        hook = self.strategy.model.score.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        for one in self._micro_batches(batch, self.infer)[1]:
            self._output(one)
            yield one.rows, one.row, one.before, seen.pop()[one.row, one.before]
        hook.remove()
        self._let_go()

    def log_probs(self, logits: Tensor, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Log-probabilities of the actor's tokens in the rows that went through the model last; 0 elsewhere.

        Args:
            logits: of shape (the actor's tokens, vocabulary), row after row: what each of them is drawn from.
            input_ids: of shape (rows, tokens).
            attention_mask: of the same shape; ROLL's name for what marks the actor's tokens here.

        Returns:
            Of shape (rows, tokens - 1) in fp32: column t is token t + 1.
        """
        labels = input_ids[self._now.row, self._now.before + 1]
        return self._spread(_in_chunks(log_probs_from_logits, logits, labels), attention_mask)

    def entropy(self, logits: Tensor, attention_mask: Tensor) -> Tensor:
        """Entropy, in nats, of the distributions that the actor's tokens are drawn from; 0 elsewhere.

        Args:
            logits: as for `log_probs`.
            attention_mask: likewise.

        Returns:
            Of shape (rows, tokens - 1) in fp32.
        """
        return self._spread(_in_chunks(entropy_from_logits, logits), attention_mask)

    def _spread(self, found: Tensor, marks: Tensor) -> Tensor:
        rows, columns = marks.shape[0], marks.shape[1] - 1
        places = self._now.row * columns + self._now.before
        return found.new_zeros(rows * columns).index_copy(0, places, found).view(rows, columns)

    def _micro_batches(self, batch: Any, sizes: Sizes) -> tuple[Tensor, list[_MicroBatch]]:
        """The rows' places in the batch, longest first, and the rows in that order, divided.

        On every GPU into as many, since each micro-batch is a round of FSDP2's exchanges.
        """
        attention, own = batch.batch["attention_mask"].bool(), batch.batch["response_mask"][:, 1:].bool()
        device = attention.device
        ends = attention * torch.arange(1, attention.shape[1] + 1, device=device)
        lengths, ends, counts = torch.stack([attention.sum(dim=1), ends.amax(dim=1), own.sum(dim=1)]).tolist()
        if lengths != ends:
            raise ValueError(
                "rows: found padding before or between tokens, expected it at the end alone, as the env manager of "
                "this package leaves it: attention is computed without a mask"
            )
        longest = attention.shape[1]
        buckets = by_length(lengths, sizes.tokens or longest, sizes.multiple)
        if dist.is_initialized() and dist.get_world_size() > 1:
            most = torch.tensor(len(buckets), device=device)
            dist.all_reduce(most, op=dist.ReduceOp.MAX)
            buckets = in_parts(buckets, int(most))
        order = torch.tensor([place for places in buckets for place in places], device=device)
        batch = batch.select_idxs(order)
        row, before = batch.batch["response_mask"][:, 1:].nonzero(as_tuple=True)
        divided: list[_MicroBatch] = []
        first, done = 0, 0
        for places in buckets:
            last, end = first + len(places), done + sum(counts[place] for place in places)
            rows = batch.slice(first, last)
            length = min(rounded(lengths[places[0]], sizes.multiple), longest)
            divided.append(_MicroBatch(rows, length, row[done:end] - first, before[done:end]))
            first, done = last, end
        return order, divided

    def _output(self, now: _MicroBatch) -> Tensor:
        """The model's output: logits of the tokens that are the actor's, or values of all, padded to ROLL's length.

        No attention mask: padding comes last, and a token attends only to those before it. Nor autocast: FSDP2 hands
        the weights over in bf16, and in it all is computed.
        """
        self._now = now
        ids = now.rows.batch["input_ids"]
        with torch.autocast(ids.device.type, enabled=False):
            output: Tensor = self.strategy.model(input_ids=ids[:, : now.length], use_cache=False).logits
        return torch.nn.functional.pad(output, (0, 0, 0, ids.shape[1] - now.length)) if self.values else output

    def _choose(self, _: Any, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Before the head: only the tokens after which one of the actor's comes."""
        places = self._now.row * self._now.length + self._now.before
        return (given[0].flatten(0, 1).index_select(0, places),)

    def _let_go(self) -> None:
        """Of weights that FSDP2 still holds gathered."""
        for module in self.strategy.model.modules():
            if isinstance(module, FSDPModule):
                module.reshard()

    def _count(self, batch: Any) -> None:
        """What ROLL's losses divide by: tokens and rows of all GPUs."""
        batch.meta_info["batch_num_tokens"] = self.strategy._get_batch_num_tokens(batch)
        batch.meta_info["global_valid_samples"] = self.strategy._get_global_valid_samples(batch)

    def _autocast(self) -> Any:
        return torch.autocast(current_platform.device_type, self.strategy.param_dtype)

    def _accumulating(self, *, is_last: bool) -> Any:
        """Whether FSDP2 adds up the GPUs' gradients after each micro-batch (ROLL's default) or after the last one."""
        always = is_last or self.strategy.reduce_scatter_during_grad_accumulation
        return contextlib.nullcontext() if always else self.strategy._grad_accumulation_context()


def in_parts(buckets: Sequence[list[int]], number: int) -> list[list[int]]:
    """Divide the largest buckets until there are so many; never more than rows.

    Args:
        buckets: of one row or more each.
        number: how many are wanted.
    """
    parts = list(buckets)
    while len(parts) < number:
        largest = max(range(len(parts)), key=lambda place: len(parts[place]))
        bucket, half = parts[largest], (len(parts[largest]) + 1) // 2
        parts[largest : largest + 1] = [bucket[:half], bucket[half:]]
    return parts


def _in_chunks(function: Callable[..., Tensor], *given: Tensor) -> Tensor:
    """A function of each token, with fp32 copies for some tokens at a time; made again for the gradient."""
    tokens = max(LOGITS // given[0].shape[-1], 1)
    chunks = zip(*(one.split(tokens) for one in given), strict=True)
    return torch.cat([checkpoint(function, *chunk, use_reentrant=False, preserve_rng_state=False) for chunk in chunks])


def _mean(values: Sequence[float], shares: Sequence[float]) -> float:
    return sum(value * share for value, share in zip(values, shares, strict=True))


def still(model: torch.nn.Module) -> None:
    """Switch every dropout off; ROLL's value model has one of 0.1 before its head, which would be noise in the values.

    Args:
        model: any.
    """
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if hasattr(module, "attention_dropout"):
            module.attention_dropout = 0.0


@torch.no_grad()
def start_at_zero(model: Any) -> None:
    """Give a new value head zeros, so that the first values are 0; one that came with the weights stays.

    Args:
        model: for token classification, from transformers, sharded or not.
    """
    if not any("TokenClassification" in name for name in model.config.architectures or ()):
        for weight in model.score.parameters():
            weight.zero_()


def explained_variance(values: Tensor, returns: Tensor, mask: Tensor) -> float | None:
    """How much better a critic is than a constant: 1 - mean squared error / variance of the returns, on all GPUs.

    Args:
        values: what it said, without dropout, of shape (rows, tokens).
        returns: what came, of the same shape.
        mask: which tokens count.

    Returns:
        1 at best, 0 for the mean return, below that for worse; None where all returns are equal.
    """
    counted = mask.bool()
    error, came = (values - returns)[counted].double(), returns[counted].double()
    sums = torch.stack([error.square().sum(), came.square().sum(), came.sum(), counted.sum().double()])
    if dist.is_initialized():
        sums = sums.to(current_platform.device_type)
        dist.all_reduce(sums)
    errors, squares, total, number = sums.tolist()
    variance = squares - total**2 / number if number else 0.0
    return 1 - errors / variance if variance > 1e-9 * max(squares, 1e-30) else None


def _is_small(model: torch.nn.Module) -> bool:
    if not torch.cuda.is_available():
        return False
    weights = sum(weight.numel() * weight.element_size() for weight in model.parameters())
    return weights < SMALL * torch.cuda.get_device_properties(0).total_memory


def _only_the_cache(include: Any = None, non_blocking: bool = False) -> None:
    """In place of ROLL's offloading: weights stay, what PyTorch holds back besides goes."""
    current_platform.empty_cache()
