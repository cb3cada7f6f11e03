"""Rows of like length, side by side and without an attention mask."""

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from tau_retail_env.models import rows


def toy() -> Qwen2ForCausalLM:
    torch.manual_seed(0)
    shape = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    return Qwen2ForCausalLM(Qwen2Config(**shape, num_attention_heads=2, num_key_value_heads=1)).float()


def test_a_model_with_a_sliding_window_keeps_its_mask():
    plain, sliding = toy(), toy()
    sliding.config.sliding_window = 8
    for model in (plain, sliding):
        rows.attend_without_mask(model)
    assert plain.config._attn_implementation == rows.NO_MASK
    assert sliding.config._attn_implementation == "sdpa"
    assert rows.NO_MASK not in str(plain.config.to_dict())


def test_a_bucket_holds_as_many_rows_as_its_longest_allows():
    assert rows.by_length([3, 10, 9, 2, 25], 20) == [[4], [1, 2], [0, 3]]


def test_buckets_of_rows_padded_to_a_multiple_hold_fewer():
    assert rows.by_length([3, 10, 9, 2, 25], 20, multiple=8) == [[4], [1], [2], [0, 3]]
    assert [rows.rounded(length, 8) for length in (0, 1, 8, 9)] == [8, 8, 8, 16]
