"""Several rows at once through a causal model: of like length, without an attention mask, what they share only once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.bias import causal_lower_right
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

NO_MASK = "sdpa_without_mask"
"""Our name among transformers' kinds of attention."""


def by_length(lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Put rows into buckets that are no larger than so many tokens, padding included.

    Args:
        lengths: tokens of each row.
        tokens: of a bucket at most; a longer row is one of its own.

    Returns:
        The rows' places in each bucket, longest rows first.
    """
    buckets: list[list[int]] = []
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        if buckets and (len(buckets[-1]) + 1) * lengths[buckets[-1][0]] <= tokens:
            buckets[-1].append(place)
        else:
            buckets.append([place])
    return buckets


def hidden_states(backbone: Any, input_ids: Tensor, prefix: Tensor | None = None) -> Tensor:
    """What a causal model without its head says of rows padded on the right, where it does not look.

    A prefix that all rows begin with goes through the model once, and each row attends to its keys and values: the same
    numbers and gradients as from whole rows, but for rounding.

    Args:
        backbone: from transformers, after `attend_without_mask`.
        input_ids: of shape (rows, tokens), without the prefix.
        prefix: of shape (shared tokens,); None where rows share nothing.

    Returns:
        Of shape (shared tokens + rows * tokens, hidden): the prefix's, then row after row.
    """
    if prefix is None:
        whole: Tensor = backbone(input_ids=input_ids, use_cache=False).last_hidden_state
        return whole.flatten(0, 1)
    shared = backbone(input_ids=prefix[None], use_cache=True)
    shared.past_key_values.batch_repeat_interleave(len(input_ids))
    rows = backbone(input_ids=input_ids, past_key_values=shared.past_key_values, use_cache=True)
    return torch.cat([shared.last_hidden_state[0], rows.last_hidden_state.flatten(0, 1)])


def fuse_norms(model: torch.nn.Module) -> None:
    """Have RMS norms computed by PyTorch's own kernel: one pass over memory instead of eight.

    Args:
        model: from transformers; a module whose class is named otherwise than …RMSNorm, or whose forward is another
            than weight * x / rms(x), is left alone.
    """
    for module in model.modules():
        name = type(module).__name__.removeprefix("FSDP")
        if name in ("Qwen2RMSNorm", "Qwen3RMSNorm", "LlamaRMSNorm", "MistralRMSNorm"):
            module.forward = _FusedNorm(module)


class _FusedNorm:
    def __init__(self, module: Any) -> None:
        self.module = module

    def __call__(self, hidden_states: Tensor) -> Tensor:
        weight = self.module.weight
        return torch.nn.functional.rms_norm(hidden_states, weight.shape, weight, self.module.variance_epsilon)


def attend_without_mask(model: Any) -> bool:
    """Have a causal model that computes attention with PyTorch's SDPA ask for no mask, and keep cuDNN's kernel out.

    transformers looks into each micro-batch whether several sequences share a row, and waits for the GPU's answer. And
    on Hopper cards PyTorch takes cuDNN's kernel first, which is planned anew on the CPU for each number of rows and
    each length, forwards and backwards: about 0.1 s each time (docs/roll.md). The flash kernel fits any shape.

    Args:
        model: from transformers; one with another attention, or with a sliding window, is left alone.

    Returns:
        Whether it does so now.
    """
    config = model.config
    if config._attn_implementation == "sdpa" and not getattr(config, "sliding_window", None):
        torch.backends.cuda.enable_cudnn_sdp(False)
        AttentionInterface.register(NO_MASK, _attend)
        config._attn_implementation = NO_MASK
    return bool(config._attn_implementation == NO_MASK)


def _attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """Attention to the tokens before; where more keys than queries are given, the queries are the last tokens."""
    if query.shape[2] == key.shape[2]:
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **more)
    last: Any = causal_lower_right(query.shape[2], key.shape[2])
    grouped = query.shape[1] != key.shape[1]
    seen = scaled_dot_product_attention(query, key, value, last, dropout, scale=scaling, enable_gqa=grouped)
    return seen.transpose(1, 2).contiguous(), None
