"""The encoder of an environment: system prompt and tools as its source and prompt style have them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from tau_retail_env.chat.encoder import ChatEncoder
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.sources import open_shop
from tau_retail_env.sources.prompts import show_tools, system_prompt

_lock = threading.Lock()


def make_encoder(
    tokenizer: Any,
    source: str,
    prompt_style: str,
    *,
    task_version: str | float | None = None,
    eos_token_ids: Sequence[int] = (),
    needs_own_padding: bool = False,
) -> ChatEncoder:
    """The encoder of the environments of a source and a prompt style.

    With one tokenizer the prefix is tokenised once, however many threads ask.

    Args:
        tokenizer: the model's.
        source: where the tasks come from.
        prompt_style: how the domain policy and the tools are shown.
        task_version: which edition of the source's tasks; None for the source's default.
        eos_token_ids: after which the model is to stop by its `generation_config`.
        needs_own_padding: refuse a tokenizer that pads with the token that ends a turn: ROLL takes padding off what
            the model said, and the end of its turn would go with it.

    Raises:
        InvalidValueError: the tokenizer has no chat template, one that leaves the tools out, or one whose turns cannot
            be encoded one by one; or it pads with the token that ends a turn where that is refused.
        MissingDependencyError: the source is not here.
    """
    shop = open_shop(source, task_version)
    prompt = system_prompt(prompt_style, source, shop.domain_policy, shop.tools, task_version)
    tools = shop.tools if show_tools(prompt_style) else None
    with _lock:
        encoder = ChatEncoder(tokenizer, system_prompt=prompt, tools=tools, eos_token_ids=eos_token_ids)
    if needs_own_padding and encoder.end_of_turn_id == tokenizer.pad_token_id:
        raise InvalidValueError(
            f"Tokenizer {tokenizer.name_or_path!r} pads with the token that ends a turn ({tokenizer.pad_token!r}), "
            "for which ROLL keeps no log-probability; give it another pad_token"
        )
    return encoder
