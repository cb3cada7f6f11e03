"""Loading models, and refusing those that do not fit."""

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast, Qwen2Tokenizer

from tau_retail_env.config.roles import ModelArgs
from tau_retail_env.config.sft import NewModel
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.training import models

from_folder = ModelArgs(dtype="fp32")


def test_a_folder_is_loaded_in_full_precision_with_its_tokenizer(tiny_checkpoint: Path):
    model, tokenizer = models.load(str(tiny_checkpoint), from_folder)
    assert next(model.parameters()).dtype == torch.float32
    assert (tokenizer.padding_side, tokenizer.pad_token) == ("left", "<|endoftext|>")


def test_a_checkpoint_with_another_vocabulary_is_refused(
    tiny_checkpoint: Path, tokenizer: Qwen2Tokenizer, tmp_path: Path
):
    model, _ = models.load(str(tiny_checkpoint), from_folder)
    for rows in (len(tokenizer) - 1, len(tokenizer) + models.LARGEST_PADDING):
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
