"""Several rows at once through a causal model: of like length, without an attention mask, with norms in one kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

FEW_LENGTHS = 128
"""Padded to a multiple of so many tokens, rows have so few different lengths that cuDNN's attention pays."""

NO_MASK = "sdpa_without_mask"
"""Our name among transformers' kinds of attention."""


def by_length(lengths: Sequence[int], tokens: int, multiple: int = 1) -> list[list[int]]:
    """Put rows into buckets that are no larger than so many tokens, padding included.

    Args:
        lengths: tokens of each row.
        tokens: of a bucket at most; a longer row is one of its own.
        multiple: of tokens, to which a bucket's rows are padded.

    Returns:
        The rows' places in each bucket, longest rows first.
    """
    buckets: list[list[int]] = []
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        if buckets and (len(buckets[-1]) + 1) * rounded(lengths[buckets[-1][0]], multiple) <= tokens:
            buckets[-1].append(place)
        else:
            buckets.append([place])
    return buckets


def rounded(length: int, multiple: int) -> int:
    """The next multiple of a number of tokens; one at least.

    Args:
        length: of a row.
        multiple: what it is rounded up to.
    """
    return max(-(-length // multiple), 1) * multiple


def fuse_norms(model: torch.nn.Module) -> None:
    """Have RMS norms computed by PyTorch's own kernel: one pass over memory instead of eight.

    Args:
        model: from transformers; a module whose class is named otherwise than …RMSNorm, or whose forward is another
            than weight * x / rms(x), is left alone.
    """
    for module in model.modules():
        name = type(module).__name__.removeprefix("FSDP")  # FSDP2 renames the classes that it shards
        if name in ("Qwen2RMSNorm", "Qwen3RMSNorm", "LlamaRMSNorm", "MistralRMSNorm"):
            module.forward = _FusedNorm(module)


class _FusedNorm:
    def __init__(self, module: Any) -> None:
        self.module = module

    def __call__(self, hidden_states: Tensor) -> Tensor:
        weight = self.module.weight
        return torch.nn.functional.rms_norm(hidden_states, weight.shape, weight, self.module.variance_epsilon)


def attend_without_mask(model: Any, *, cudnn: bool = False) -> None:
    """Have a causal model that computes attention with PyTorch's SDPA ask for no mask, and keep cuDNN's kernel out.

    transformers looks into each micro-batch whether several sequences share a row, and waits for the GPU's answer. And
    on Hopper cards PyTorch takes cuDNN's kernel first, which is planned anew on the CPU for each number of rows and
    each length, forwards and backwards: about 0.1 s each time (docs/roll.md). The flash kernel fits any shape.

    Args:
        model: from transformers; one with another attention, or with a sliding window, is left alone.
        cudnn: whether cuDNN's kernel, the faster one once it is planned, stays in: for rows of few different lengths.
    """
    config = model.config
    if config._attn_implementation == "sdpa" and not getattr(config, "sliding_window", None):
        torch.backends.cuda.enable_cudnn_sdp(cudnn)
        AttentionInterface.register(NO_MASK, sdpa_attention_forward)
        config._attn_implementation = NO_MASK
