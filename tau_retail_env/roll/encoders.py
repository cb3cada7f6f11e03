"""The encoder of an environment: system prompt and tools of its source and prompt style."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from tau_retail_env.chat.encoder import ChatEncoder
from tau_retail_env.chat.prompts import show_tools, system_prompt
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.world import open_shop

_lock = threading.Lock()


def encoder_for(tokenizer: Any, settings: Mapping[str, Any]) -> ChatEncoder:
    """The encoder of one environment; with one tokenizer the prefix is tokenised once, however many threads ask.

    Args:
        tokenizer: the worker's.
        settings: `env_config` of the tag: `source` and `prompt_style` count.

    Raises:
        InvalidValueError: the tokenizer has no chat template, one that leaves the tools out, or one whose turns cannot
            be encoded one by one; or it pads with the token that ends a turn.
    """
    source, style = str(settings.get("source", "tau2")), str(settings.get("prompt_style", "full"))
    shop = open_shop(source)
    prompt = system_prompt(style, source, shop.domain_policy, shop.tools)
    with _lock:
        encoder = ChatEncoder(tokenizer, system_prompt=prompt, tools=shop.tools if show_tools(style) else None)
    if encoder.end_of_turn_id == tokenizer.pad_token_id:
        raise InvalidValueError(
            f"Tokenizer {tokenizer.name_or_path!r} pads with the token that ends a turn ({tokenizer.pad_token!r}), "
            "for which ROLL keeps no log-probability; give it another pad_token"
        )
    return encoder
