"""Load and make models for training, on the device and in the precision of a run."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import transformers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DynamicCache,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Qwen2Config,
)

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.local.config.sft import NewModel
from tau_retail_env.local.config.workers import ModelArgs
from tau_retail_env.models.checks import check_pretrained
from tau_retail_env.models.loading import check_vocabulary, load_weights
from tau_retail_env.models.loading import device as device
from tau_retail_env.models.loading import load_tokenizer as load_tokenizer
from tau_retail_env.models.sampler import check_past
from tau_retail_env.models.shipped import checkpoint
from tau_retail_env.runs.files import writing
from tau_retail_env.runs.temporary import temporary_folder

PROBES = (
    'Order #W5791505, 2 items:\n\n  {"zip": "43134", "cancel_reason": null, "options": {"size": "A6"}} I\'m née K.',
    "don't 12345abc credit_card_3163940 e\u0301 ...\t\r\nx",
)
"""Texts in which ways of splitting words differ: digits, JSON, spaces, contractions, accents, punctuation."""


def load(
    pretrain: str, model_args: ModelArgs, *, prompt_styles: Collection[str] = (), sequence_length: int = 0
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a model and its tokenizer; its configuration is checked before its weights.

    Args:
        pretrain: "small", a folder, or a Hugging Face name.
        model_args: precision and attention.
        prompt_styles: what the episodes start with that it will play; none where it learns to.
        sequence_length: tokens of an episode at most.

    Returns:
        The model in fp32 on the CPU, ready for a trainer, and its tokenizer.

    Raises:
        InvalidValueError: nothing there, files or weights that are not whole, a model that the run does not suit, or a
            vocabulary that is not the tokenizer's.
    """
    source = checkpoint(pretrain)
    tokenizer = load_tokenizer(source)
    config = check_pretrained(source, prompt_styles=prompt_styles, sequence_length=sequence_length)
    check_past(source, DynamicCache(config=config).layers)
    attention = None if model_args.attn_implementation == "auto" else model_args.attn_implementation
    model = load_weights(source, attention)
    check_vocabulary(model, tokenizer, source)
    return model, tokenizer


def make(shape: NewModel, tokenizer: PreTrainedTokenizerBase, seed: int) -> PreTrainedModel:
    """A Qwen2 model with random weights for a tokenizer's vocabulary.

    Raises:
        InvalidValueError: transformers would load the tokenizer otherwise beside such a model.
    """
    transformers.set_seed(seed)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.num_hidden_layers,
        num_attention_heads=shape.num_attention_heads,
        num_key_value_heads=shape.num_key_value_heads,
        max_position_embeddings=shape.max_position_embeddings,
        tie_word_embeddings=shape.tie_word_embeddings,
        rope_parameters={"rope_type": "default", "rope_theta": shape.rope_theta},
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    _check_tokenizer_beside(model, tokenizer)
    return model


def check_precision(model_args: ModelArgs, path: str) -> None:
    """Refuse mixed precision where there is no GPU.

    Raises:
        InvalidValueError: bf16 on a CPU.
    """
    if model_args.dtype == "bf16" and device().type == "cpu":
        raise InvalidValueError(f"{path}.dtype: bf16 needs a GPU, and none is visible; use {path}.dtype=fp32")


@contextmanager
def playing(model: PreTrainedModel, model_args: ModelArgs) -> Iterator[None]:
    """While it lasts the model plays: no dropout, no gradients, and the precision that it is trained in."""
    was_training = model.training
    model.eval()
    use_bf16 = model_args.dtype == "bf16"
    try:
        with torch.no_grad(), torch.autocast(device().type, dtype=torch.bfloat16, enabled=use_bf16):
            yield
    finally:
        model.train(was_training)


def quiet() -> None:
    """Keep the libraries' own bars, banners and advice off the screen."""
    import datasets

    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    for name in ("trl", "accelerate", "torch.distributed"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning)


def describe(model: PreTrainedModel) -> dict[str, Any]:
    """What the run's summary says about the model."""
    return {
        "architecture": type(model).__name__,
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "device": str(device()),
    }


def _check_tokenizer_beside(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse a tokenizer that would be another one beside the model.

    For model_type qwen2 AutoTokenizer always makes a Qwen2Tokenizer, which takes vocabulary, merges and added tokens
    from the files, but brings its own normaliser and splitting into words.
    """
    with temporary_folder() as folder:
        with writing(folder / "tokenizer"):
            model.config.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
        loaded = AutoTokenizer.from_pretrained(folder)
    if any(loaded.encode(text) != tokenizer.encode(text) for text in PROBES):
        raise InvalidValueError(
            f"tokenizer: {tokenizer.name_or_path or type(tokenizer).__name__!r} splits text otherwise once it lies "
            "beside a Qwen2 model, because AutoTokenizer then uses Qwen2's normaliser and splitting. Make it a "
            "Qwen2Tokenizer; what must stay one token in spite of Qwen2's splitting can be an added token"
        )
