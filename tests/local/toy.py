"""Six conversations of numbers, and a model small enough to learn from them at once."""

from typing import Any

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tau_retail_env.local.batches import Update
from tau_retail_env.local.conversations import EncodedConversations

LENGTHS = (90, 120, 75, 140, 88, 101)
PROMPT = 40
"""Tokens that all six conversations begin with."""
TWO_PASSES: Update = [[0, 1, 2], [3, 4, 5]]


def make_data() -> EncodedConversations:
    draws = np.random.default_rng(0)
    prompt = draws.integers(1, 60, PROMPT)
    texts = [np.concatenate([prompt, draws.integers(1, 60, length - PROMPT)]) for length in LENGTHS]
    masks = [np.zeros(length, dtype=np.uint8) for length in LENGTHS]
    for mask in masks:
        mask[PROMPT + 10 : PROMPT + 20] = mask[-5:] = 1
    return EncodedConversations(
        token_ids=np.concatenate(texts).astype(np.int32),
        response_mask=np.concatenate(masks),
        starts=np.cumsum([0, *LENGTHS]),
        prompts=np.full(len(LENGTHS), PROMPT),
        num_failed=0,
        num_unscorable=0,
        num_long=0,
    )


def toy(**changes: Any) -> LlamaForCausalLM:
    torch.manual_seed(0)
    shape: dict[str, Any] = {"vocab_size": 64, "hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 3}
    heads = {"num_attention_heads": 6, "num_key_value_heads": 2}
    return LlamaForCausalLM(LlamaConfig(**shape | heads | {"tie_word_embeddings": True} | changes)).float()
