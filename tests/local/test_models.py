"""Loading models, and refusing those that do not fit."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import BPE
from transformers import MistralConfig, MistralForCausalLM, PreTrainedTokenizerFast, Qwen2Tokenizer

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.local import models
from tau_retail_env.local.config.sft import NewModel
from tau_retail_env.local.config.workers import ModelArgs
from tau_retail_env.models import loading

from_folder = ModelArgs(dtype="fp32")


def test_a_folder_is_loaded_in_full_precision_with_its_tokenizer(tiny_checkpoint: Path):
    model, tokenizer = models.load(str(tiny_checkpoint), from_folder)
    assert next(model.parameters()).dtype == torch.float32
    assert (tokenizer.padding_side, tokenizer.pad_token) == ("left", "<|endoftext|>")


def test_a_checkpoint_with_another_vocabulary_is_refused(
    tiny_checkpoint: Path, tokenizer: Qwen2Tokenizer, tmp_path: Path
):
    model, _ = models.load(str(tiny_checkpoint), from_folder)
    for rows in (len(tokenizer) - 1, len(tokenizer) + loading.LARGEST_PADDING):
        model.resize_token_embeddings(rows)
        folder = tmp_path / str(rows)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        with pytest.raises(InvalidValueError, match=rf"another vocabulary than its tokenizer: {rows} rows"):
            models.load(str(folder), from_folder)


def test_a_padded_embedding_is_accepted(tiny_checkpoint: Path, tokenizer: Qwen2Tokenizer):
    model, _ = models.load(str(tiny_checkpoint), from_folder)
    model.resize_token_embeddings(len(tokenizer) + 64)
    models.check_vocabulary(model, tokenizer, "folder")


def test_a_folder_without_a_model_is_a_clear_error(tmp_path: Path):
    with pytest.raises(InvalidValueError, match="pretrain: no tokenizer could be loaded from"):
        models.load(str(tmp_path), from_folder)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_hidden_layers": 3, "layer_types": ["full_attention"] * 3}, r"12 weights are missing \(model.layers.2"),
        (
            {"num_hidden_layers": 1, "layer_types": ["full_attention"]},
            r"12 weights belong to no layer \(model.layers.1",
        ),
        ({"hidden_size": 16}, r"weights have another shape \(model\.\S+ \(309, 32\) for \(309, 16\)"),
        ({"tie_word_embeddings": False}, r"1 weights are missing \(lm_head.weight\)"),
    ],
)
def test_weights_that_do_not_fit_the_configuration_are_named(
    tiny_checkpoint: Path, tmp_path: Path, changes: dict[str, Any], words: str
):
    folder = shutil.copytree(tiny_checkpoint, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    with pytest.raises(InvalidValueError, match=words):
        models.load(str(folder), from_folder)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_file_that_is_not_whole_is_a_clear_error(tiny_checkpoint: Path, tmp_path: Path, name: str):
    folder = shutil.copytree(tiny_checkpoint, tmp_path / "model")
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(InvalidValueError, match=r"pretrain: .*half downloaded|pretrain: no tokenizer could be loaded"):
        models.load(str(folder), from_folder)


def test_a_model_with_a_sliding_window_is_refused_before_its_weights_are_loaded(
    tokenizer: Qwen2Tokenizer, tmp_path: Path
):
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "num_key_value_heads": 1}
    config = MistralConfig(num_hidden_layers=1, vocab_size=len(tokenizer), sliding_window=8, **shape)
    MistralForCausalLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(InvalidValueError, match="keeps its past as DynamicSlidingWindowLayer"):
        models.load(str(tmp_path), from_folder)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_mixed_precision_without_a_gpu_is_refused_by_its_key():
    with pytest.raises(InvalidValueError, match=r"actor_train\.model_args\.dtype: bf16 needs a GPU"):
        models.check_precision(ModelArgs(dtype="bf16"), "actor_train.model_args")


def test_playing_leaves_the_model_as_it_was(tiny_checkpoint: Path):
    model, _ = models.load(str(tiny_checkpoint), from_folder)
    model.train()
    with models.playing(model, from_folder):
        assert not model.training
        assert not model(input_ids=torch.tensor([[1]])).logits.requires_grad
    assert model.training


def test_a_tokenizer_that_would_be_another_beside_the_model_is_refused():
    bpe = Tokenizer(BPE({"<|endoftext|>": 0, "1": 1, "2": 2, "12": 3}, [("1", "2")]))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|endoftext|>", pad_token="<|endoftext|>")
    with pytest.raises(InvalidValueError, match="splits text otherwise once it lies beside a Qwen2 model"):
        models.make(NewModel(hidden_size=8, num_attention_heads=2, num_key_value_heads=1), tokenizer, seed=0)
