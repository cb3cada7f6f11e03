"""Loading a model's weights and tokenizer, and whether the two belong together."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.models.checks import check_files, not_loaded
from tau_retail_env.models.hub import on_disk_or_hub

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LARGEST_PADDING = 1024
"""Rows that an embedding may have beyond the tokenizer's tokens: checkpoints round up for speed, but not by more."""
COMPUTED = ("inv_freq", "position_ids", ".attn.bias", ".masked_bias")
"""Suffixes of buffers that old checkpoints store although models compute them."""
DIGEST_LENGTH = 12
"""Characters of a digest: 48 bits."""
NAMED = 3
"""Most names of weights that an error lists."""


def device() -> torch.device:
    """The device that everything runs on: the first GPU where there is one."""
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def use_free_cores() -> int:
    """Let torch compute on the cores that nobody else uses: on taken ones its threads wait for one another.

    What OMP_NUM_THREADS says stays.

    Returns:
        How many threads it has.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        free = len(os.sched_getaffinity(0)) - round(os.getloadavg()[0])
        torch.set_num_threads(max(1, free))
    return torch.get_num_threads()


def visible_gpus() -> tuple[list[str], int]:
    """The GPUs as CUDA_VISIBLE_DEVICES names them, and the bytes of the smallest one's memory."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    sizes = [torch.cuda.get_device_properties(place).total_memory for place in range(count)]
    return (named or [str(place) for place in range(count)])[:count], min(sizes, default=0)


def load_tokenizer(source: str) -> PreTrainedTokenizerBase:
    """Load a tokenizer from a folder or by its Hugging Face name.

    Raises:
        InvalidValueError: there is none, or none with a chat template.
    """
    check_files(Path(source))
    place = on_disk_or_hub(source)
    try:
        tokenizer = AutoTokenizer.from_pretrained(place)
    except Exception as error:  # of a broken file each library makes an error of its own
        raise not_loaded("tokenizer", source, error) from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"
    return tokenizer


def tokenizer_digest(tokenizer: PreTrainedTokenizerBase) -> str:
    """A digest that tells two tokenizers apart: their tokens and their chat template, not how files spell them.

    Args:
        tokenizer: any of transformers'.
    """
    text = json.dumps([sorted(tokenizer.get_vocab().items()), tokenizer.chat_template])
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]


def check_vocabulary(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, source: str) -> None:
    """Refuse a checkpoint whose embedding was not made for its tokenizer.

    Raises:
        InvalidValueError: fewer rows than tokens, or more than padding explains.
    """
    rows, tokens = model.get_input_embeddings().weight.shape[0], len(tokenizer)
    if not tokens <= rows < tokens + LARGEST_PADDING:
        raise InvalidValueError(
            f"The checkpoint {source} has another vocabulary than its tokenizer: {rows} rows in the embedding, "
            f"{tokens} tokens. Give a folder (pretrain=FOLDER) whose tokenizer files belong to its weights"
        )


def load_weights(source: str, attention: str | None = None) -> PreTrainedModel:
    """Load a model whose every weight is in its checkpoint; transformers would draw those at random that are not.

    Args:
        source: a folder, or a Hugging Face name.
        attention: transformers' name of an implementation; None for its own choice.

    Returns:
        The model in fp32 on the CPU.

    Raises:
        InvalidValueError: nothing there, files that are not whole, or weights that are missing, left over or of
            another shape.
    """
    from transformers import AutoModelForCausalLM  # takes seconds; who wants a tokenizer alone does not wait

    place = on_disk_or_hub(source)
    try:
        with _bar_in_a_terminal_only():
            model, found = AutoModelForCausalLM.from_pretrained(
                place,
                dtype=torch.float32,
                attn_implementation=attention,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # reported below, by name
            )
    except Exception as error:  # of a broken file each library makes an error of its own
        raise not_loaded("model", source, error) from error
    wrong = {
        "are missing": sorted(found["missing_keys"]),
        "belong to no layer": sorted(name for name in found["unexpected_keys"] if not name.endswith(COMPUTED)),
        "have another shape": sorted(
            f"{name} {tuple(stored)} for {tuple(expected)}" for name, stored, expected in found["mismatched_keys"]
        ),
    }
    problems = [f"{len(names)} weights {what} ({_some(names)})" for what, names in wrong.items() if names]
    if problems:
        raise InvalidValueError(
            f"pretrain: the weights of {source!r} do not fit its config.json: {'; '.join(problems)}. "
            "Give a folder whose config.json belongs to its weights"
        )
    return model


@contextmanager
def _bar_in_a_terminal_only() -> Iterator[None]:
    """Keep transformers' bar out of pipes and logs; its switch is one for the whole process."""
    if sys.stderr.isatty() or not transformers_logging.is_progress_bar_enabled():
        yield
        return
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.enable_progress_bar()


def _some(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (" …" if len(names) > NAMED else "")
