"""The small model's tokenizer: identifiers stay whole pairs of digits, and every loader reads it alike."""

import pytest
from transformers import AutoTokenizer, Qwen2Config, Qwen2Tokenizer

from tau_retail_env.config import compose
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.local.config import check_sft
from tau_retail_env.local.conversations import conversation_texts
from tau_retail_env.local.tokenizer import train_tokenizer
from tau_retail_env.models.shipped import small_checkpoint

CALL = '<tool_call>\n{"name": "get_order_details", "arguments": {"order_id": "#W2378156"}}\n</tool_call>'


@pytest.fixture(scope="module")
def texts() -> list[str]:
    config = check_sft(compose("tau_retail_sft"))
    return conversation_texts(config.custom_envs["retail_train"].env_config, 60, seed=0)


@pytest.fixture(scope="module")
def tokenizer(texts: list[str]) -> Qwen2Tokenizer:
    return train_tokenizer(texts, 1500)


def pieces(tokenizer: Qwen2Tokenizer, text: str) -> list[str]:
    return [tokenizer.decode([token]) for token in tokenizer.encode(text)]


def test_every_text_comes_back_as_it_was(tokenizer: Qwen2Tokenizer, texts: list[str]):
    for text in [*texts[:200], "Größe 5½ — 你好 🎉\t\n  x", CALL]:
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_an_order_id_is_the_same_pairs_of_digits_wherever_it_stands(tokenizer: Qwen2Tokenizer):
    for text in ("my order #W2378156, please", CALL):
        found = pieces(tokenizer, text)
        start = found.index("23")
        assert found[start : start + 4] == ["23", "78", "15", "6"]


def test_keys_tool_names_and_turn_starts_are_single_tokens(tokenizer: Qwen2Tokenizer):
    found = pieces(tokenizer, CALL)
    assert found[:4] == ["<tool_call>\n", '{"name": "', "get_order_details", '", "arguments": {"order_id": "']
    assert pieces(tokenizer, "<|im_start|>assistant\nHi<|im_end|>")[0] == "<|im_start|>assistant\n"


def test_it_is_the_same_beside_a_qwen2_model(tokenizer: Qwen2Tokenizer, texts: list[str], tmp_path):
    tokenizer.save_pretrained(tmp_path)
    Qwen2Config(vocab_size=len(tokenizer)).save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert [loaded.encode(text) for text in texts[:100]] == [tokenizer.encode(text) for text in texts[:100]]
    assert (loaded.eos_token, loaded.pad_token) == ("<|im_end|>", "<|endoftext|>")


def test_too_small_a_vocabulary_is_refused_with_the_size_that_is_needed(texts: list[str]):
    with pytest.raises(InvalidValueError, match=r"vocab_size 300 is too small: at least \d+ are needed"):
        train_tokenizer(texts, 300)


def test_a_conversation_of_the_shipped_model_fits_its_budget(texts: list[str]):
    shipped = AutoTokenizer.from_pretrained(small_checkpoint())
    assert sum(len(shipped.encode(text)) for text in texts) / 60 < 600
