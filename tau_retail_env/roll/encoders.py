"""One tokenised prefix for all environments of a worker, though each has a tokenizer of its own."""

from __future__ import annotations

import copy
import threading
from collections.abc import Mapping
from typing import Any

from tau_retail_env.chat.encoder import ChatEncoder
from tau_retail_env.chat.prompts import show_tools, system_prompt
from tau_retail_env.world import open_shop

_lock = threading.Lock()
_known: dict[tuple[object, ...], ChatEncoder] = {}


def encoder_for(tokenizer: Any, settings: Mapping[str, Any]) -> ChatEncoder:
    """The encoder of one environment.

    ROLL copies the tokenizer for each environment, because a fast tokenizer does not bear two threads. The prefix
    (system prompt, and the tools as the model's own template renders them where the prompt style shows them so) is
    nevertheless tokenised once in a process.

    Args:
        tokenizer: the environment's own copy.
        settings: `env_config` of the tag: `source` and `prompt_style` count.

    Raises:
        InvalidValueError: the tokenizer has no chat template, one that leaves the tools out, or one whose turns cannot
            be encoded one by one.
    """
    source, style = str(settings.get("source", "tau2")), str(settings.get("prompt_style", "full"))
    key = (tokenizer.name_or_path, len(tokenizer), tokenizer.chat_template, source, style)
    with _lock:
        if key not in _known:
            _known[key] = _make(tokenizer, source, style)
        encoder = copy.copy(_known[key])
    encoder.tokenizer = tokenizer
    return encoder


def _make(tokenizer: Any, source: str, style: str) -> ChatEncoder:
    shop = open_shop(source)
    prompt = system_prompt(style, source, shop.domain_policy, shop.tools)
    return ChatEncoder(tokenizer, system_prompt=prompt, tools=shop.tools if show_tools(style) else None)
