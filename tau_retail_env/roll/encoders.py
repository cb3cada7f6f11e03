"""The encoder of an environment in a ROLL worker, whose threads share one tokenizer."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from tau_retail_env.chat.encoder import ChatEncoder
from tau_retail_env.episodes.encoders import make_encoder
from tau_retail_env.errors import InvalidValueError

_lock = threading.Lock()


def encoder_for(tokenizer: Any, settings: Mapping[str, Any]) -> ChatEncoder:
    """The encoder of one environment; with one tokenizer the prefix is tokenised once, however many threads ask.

    Args:
        tokenizer: the worker's.
        settings: `env_config` of the tag: `source`, `task_version` and `prompt_style` count.

    Raises:
        InvalidValueError: the tokenizer has no chat template, one that leaves the tools out, or one whose turns cannot
            be encoded one by one; or it pads with the token that ends a turn.
    """
    source, style = str(settings.get("source", "tau2")), str(settings.get("prompt_style", "full"))
    with _lock:
        encoder = make_encoder(tokenizer, source, style, task_version=settings.get("task_version"))
    if encoder.end_of_turn_id == tokenizer.pad_token_id:
        raise InvalidValueError(
            f"Tokenizer {tokenizer.name_or_path!r} pads with the token that ends a turn ({tokenizer.pad_token!r}), "
            "for which ROLL keeps no log-probability; give it another pad_token"
        )
    return encoder
