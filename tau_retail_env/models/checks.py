"""What the folder that `pretrain` names says before weights are loaded: are its files whole, does the run suit it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from transformers import AutoConfig, GenerationConfig

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.models.hub import on_disk_or_hub

KEY = "tau_retail"
"""The block in a model's config.json in which we say what it was trained on."""
TOLD_NOTHING = "minimal"
"""The prompt style that names no tool: only a model that was trained on it can know one."""
POINTER = b"version https://git-lfs.github.com/spec/"
LONGEST_POINTER = 1024
"""Bytes of a git-LFS pointer at most; the specification says fewer."""
STRETCHED = ("linear", "dynamic", "yarn")
"""Kinds of rotary position embedding whose factor is not part of max_position_embeddings."""


def check_pretrained(source: str, *, prompt_styles: Collection[str], sequence_length: int) -> Any:
    """Refuse a model that a run cannot do anything with.

    Args:
        source: a folder, or a Hugging Face name.
        prompt_styles: what its episodes start with.
        sequence_length: tokens of an episode at most.

    Returns:
        The model's configuration, as transformers reads it.

    Raises:
        InvalidValueError: there is no model, a file is not whole, a prompt without tools for a model that was not
            trained on it, or episodes longer than the model reads.
    """
    check_files(Path(source))
    config = model_config(source)
    check_length(config, source, sequence_length)
    if TOLD_NOTHING in prompt_styles and prompt_style_of(config) != TOLD_NOTHING:
        raise InvalidValueError(
            f"prompt_style: {TOLD_NOTHING} tells a model no tool and no rule, and the config.json of {source!r} does "
            f"not say that it was trained on it ({json.dumps({KEY: {'prompt_style': TOLD_NOTHING}})}). "
            "Use prompt_style=compressed with a sequence_length of 4096 or more, or fine-tune the model first: "
            f"tau-retail train --config-name tau_retail_sft pretrain={source} model=null vocab_size=null"
        )
    return config


def model_config(source: str) -> Any:
    """A model's configuration without its weights.

    Raises:
        InvalidValueError: there is none.
    """
    place = on_disk_or_hub(source)
    try:
        return AutoConfig.from_pretrained(place)
    except (OSError, ValueError, KeyError) as error:
        raise not_loaded("model", source, error) from error


def eos_token_ids(source: str) -> tuple[int, ...]:
    """Tokens after which a model is to stop, by its `generation_config.json`, or its `config.json` where it has none.

    Args:
        source: a folder, or a Hugging Face name; where there is no model, as beside a tokenizer alone, there are none.

    Raises:
        InvalidValueError: the file holds what transformers does not take, or its `eos_token_id` is no token's number.
    """
    path = on_disk_or_hub(source)
    try:
        found = GenerationConfig.from_pretrained(path).eos_token_id
    except OSError:  # many a model has no such file
        found = None
        with suppress(InvalidValueError):
            found = model_config(source).eos_token_id
    except (TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InvalidValueError(f"{source}: its generation_config.json is refused by transformers: {reason}") from error
    return listed(found)


def listed(eos_token_id: int | Sequence[int] | None) -> tuple[int, ...]:
    """The `eos_token_id` of a configuration, which is one token, several or none, as several.

    Raises:
        InvalidValueError: it is something else.
    """
    if eos_token_id is None:
        return ()
    found = eos_token_id if isinstance(eos_token_id, list | tuple) else [eos_token_id]
    if any(type(token) is not int for token in found):
        raise InvalidValueError(
            f"eos_token_id: found {eos_token_id!r} in the model's generation_config.json or config.json, expected a "
            "token's number, a list of them, or null"
        )
    return tuple(found)


def prompt_style_of(config: Any) -> str | None:
    """The prompt style that a model was trained on, None where nobody has said so."""
    said = getattr(config, KEY, None)
    return said.get("prompt_style") if isinstance(said, Mapping) else None


def max_new_tokens_of(config: Any) -> int | None:
    """The tokens of a message that a model's training gave it where it was judged, None where nobody has said so."""
    said = getattr(config, KEY, None)
    found = said.get("max_new_tokens") if isinstance(said, Mapping) else None
    return found if type(found) is int and found > 0 else None


def cut_messages(source: str, limits: Mapping[str, int]) -> list[str]:
    """A line where a run gives a message fewer tokens than the model's fine-tuning did; else none.

    Args:
        source: a folder, or a Hugging Face name.
        limits: by the path of its key, the most tokens of a message.

    Raises:
        InvalidValueError: there is no model.
    """
    taught = max_new_tokens_of(model_config(source)) or 0
    shorter = [f"{path}={limit}" for path, limit in limits.items() if limit < taught]
    if not shorter:
        return []
    return [
        f"note: the fine-tuning of {source} gave a message {taught} tokens (tau_retail in its config.json). This run "
        f"cuts them off at {', '.join(shorter)}, which may lose their episodes; {taught} there leaves them whole"
    ]


def set_prompt_style(config: Any, style: str, max_new_tokens: int | None = None) -> None:
    """Say in a model's configuration what it is trained on: every checkpoint of it will.

    Args:
        config: the model's.
        style: the prompt style.
        max_new_tokens: tokens of a message; None says nothing of them.
    """
    limit = {} if max_new_tokens is None else {"max_new_tokens": max_new_tokens}
    setattr(config, KEY, {"prompt_style": style, **limit})


def check_length(config: Any, source: str, sequence_length: int) -> None:
    """Refuse episodes that are longer than a model reads.

    Raises:
        InvalidValueError: sequence_length is more than its positions.
    """
    text = config.get_text_config()
    longest = getattr(text, "max_position_embeddings", None)
    if longest is None:
        return
    rope = getattr(text, "rope_parameters", None) or getattr(text, "rope_scaling", None) or {}
    if rope.get("rope_type", rope.get("type")) in STRETCHED:
        longest = max(longest, int(rope.get("original_max_position_embeddings", longest) * rope.get("factor", 1.0)))
    if sequence_length > longest:
        raise InvalidValueError(
            f"sequence_length: found {sequence_length}, but {source!r} reads {longest} tokens at most "
            f"(max_position_embeddings in its config.json): use sequence_length={longest} or less, or another model"
        )


def check_files(folder: Path) -> None:
    """Refuse a folder with a file that is not whole; a name that is no folder is left to whoever loads it.

    Raises:
        InvalidValueError: a git-LFS pointer stands in the place of a file, or weights are cut off.
    """
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if not path.is_file():
            continue
        with path.open("rb") as file:
            if path.stat().st_size <= LONGEST_POINTER and file.read(len(POINTER)) == POINTER:
                raise InvalidValueError(
                    f"pretrain: {path} is a git-LFS pointer, the file itself was never fetched. "
                    f"In {folder}: git lfs pull"
                )
        if path.suffix == ".safetensors":
            _check_weights(path)


def not_loaded(what: str, source: str, error: Exception) -> InvalidValueError:
    """The error for a folder or name from which something cannot be loaded."""
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return InvalidValueError(
        f"pretrain: no {what} could be loaded from {source!r} ({reason}). "
        "Give a folder with config.json, weights and tokenizer, a Hugging Face name, or small"
    )


def _check_weights(path: Path) -> None:
    found = path.stat().st_size
    with path.open("rb") as file:
        header_size = int.from_bytes(file.read(8), "little")
        try:
            header = json.loads(file.read(header_size)) if 8 + header_size <= found else {}
            ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
            expected = 8 + header_size + max(ends, default=0)
        except (ValueError, LookupError, TypeError, AttributeError):
            expected = -1
    if found != expected:
        size = f"{found:,} bytes" + (f" where its header says {expected:,}" if expected > found else "")
        raise InvalidValueError(
            f"pretrain: {path} is damaged or only half downloaded ({size}). Fetch it again: "
            "git lfs pull in a clone, or hf download"
        )
