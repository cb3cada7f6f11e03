"""A chat template for models that bring none, or one that leaves the tools out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tau_retail_env.errors import InvalidValueError

FALLBACK = Path(__file__).with_name("fallback.jinja")
TURN_END = "<|im_end|>"


def fallback_template(tokenizer: Any) -> str:
    """The package's own template, fitted to a tokenizer: ChatML, tools and calls in the manner of Hermes.

    A turn ends in `<|im_end|>` where that is a token, else in the tokenizer's EOS. A conversation begins with the BOS
    where the tokenizer itself puts one before a text.

    Args:
        tokenizer: a transformers tokenizer.

    Raises:
        InvalidValueError: it has no token that could end a turn.
    """
    text = FALLBACK.read_text(encoding="utf-8")
    added = {token.content for token in tokenizer.added_tokens_decoder.values()}
    if TURN_END not in added:
        if tokenizer.eos_token is None:
            raise InvalidValueError(
                f"Tokenizer {tokenizer.name_or_path!r} has neither the token {TURN_END} nor an EOS, so nothing could "
                "end a turn; set its eos_token"
            )
        text = text.replace(TURN_END, tokenizer.eos_token)
    begins = tokenizer.bos_token_id is not None and tokenizer.encode("a")[:1] == [tokenizer.bos_token_id]
    return "{{- bos_token -}}\n" + text if begins else text
