"""What the learners of a ROLL run compute: rows no longer than their episodes, and the actor's tokens alone."""

from __future__ import annotations

from typing import Any

import torch
from roll.utils.functionals import entropy_from_logits, log_probs_from_logits
from torch import Tensor


def spare(strategy: Any, *, keep_length: bool = False) -> None:
    """Have an FSDP2 strategy compute no more than the run uses.

    ROLL's own pads every row to `sequence_length` before the model sees it, and takes log-probabilities and entropy of
    each of its tokens, in several fp32 copies of the logits (benchmarks/roll_learning.py). Of all these only the
    actor's tokens count; the results at these are the same, but for the rounding of attention over another length.

    Args:
        strategy: ROLL's, initialized. One that divides a sequence among GPUs (`ulysses_size`) stays as it is.
        keep_length: whether the model's output gets its full length back, with zeros: a critic's values must.
    """
    if strategy.worker.rank_info.cp_size > 1:
        return
    run_model = strategy._fsdp2_forward

    def run_trimmed(
        input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor, forward_args: dict[str, Any]
    ) -> Tensor:
        # One padded token stays: without any transformers takes another attention kernel, which rounds otherwise.
        length = min(attended_length(attention_mask) + 1, input_ids.shape[1])
        output: Tensor = run_model(
            input_ids=input_ids[:, :length],
            attention_mask=attention_mask[:, :length],
            position_ids=position_ids[..., :length],
            forward_args=forward_args,
        )
        missing = input_ids.shape[1] - length
        return torch.nn.functional.pad(output, (0, 0, 0, missing)) if keep_length else output

    strategy._fsdp2_forward = run_trimmed
    strategy.op_compute_log_probs = log_probs_of_marked
    strategy.op_compute_entropy = entropy_of_marked


def attended_length(attention_mask: Tensor) -> int:
    """Tokens up to the last one that any row attends to, at least one.

    Args:
        attention_mask: of shape (rows, tokens).
    """
    attended = attention_mask.any(dim=0).nonzero()
    return int(attended[-1]) + 1 if len(attended) else 1


def log_probs_of_marked(logits: Tensor, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
    """Log-probabilities of the marked tokens; 0 elsewhere.

    Args:
        logits: of shape (rows, tokens up to the last attended one, vocabulary).
        input_ids: of shape (rows, tokens).
        attention_mask: of the same shape; ROLL's name for what marks the actor's tokens here.

    Returns:
        Of shape (rows, tokens - 1) in fp32: column t is token t + 1.
    """
    marked, chosen = _chosen(logits, attention_mask)
    found = log_probs_from_logits(chosen, input_ids[:, 1:][marked])
    return found.new_zeros(marked.shape).masked_scatter(marked, found)


def entropy_of_marked(logits: Tensor, attention_mask: Tensor) -> Tensor:
    """Entropy, in nats, of the distributions that the marked tokens are drawn from; 0 elsewhere.

    Args:
        logits: as for `log_probs_of_marked`.
        attention_mask: likewise.

    Returns:
        Of shape (rows, tokens - 1) in fp32.
    """
    marked, chosen = _chosen(logits, attention_mask)
    found = entropy_from_logits(chosen)
    return found.new_zeros(marked.shape).masked_scatter(marked, found)


def _chosen(logits: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
    """Which tokens are marked, shifted by one, and the logits that they are drawn from, one row each."""
    marked = attention_mask[:, 1:].bool()
    return marked, logits[:, :-1][marked[:, : logits.shape[1] - 1]]
