"""The encoder of an environment: system prompt and tools as its source and prompt style have them."""

from __future__ import annotations

from typing import Any

from tau_retail_env.chat.encoder import ChatEncoder
from tau_retail_env.sources import open_shop
from tau_retail_env.sources.prompts import show_tools, system_prompt


def make_encoder(
    tokenizer: Any, source: str, prompt_style: str, task_version: str | float | None = None
) -> ChatEncoder:
    """The encoder of the environments of a source and a prompt style.

    Args:
        tokenizer: the model's.
        source: where the tasks come from.
        prompt_style: how the domain policy and the tools are shown.
        task_version: which edition of the source's tasks; None for the source's default.

    Raises:
        InvalidValueError: the tokenizer has no chat template, one that leaves the tools out, or one whose turns cannot
            be encoded one by one.
        MissingDependencyError: the source is not here.
    """
    shop = open_shop(source, task_version)
    prompt = system_prompt(prompt_style, source, shop.domain_policy, shop.tools, task_version)
    return ChatEncoder(tokenizer, system_prompt=prompt, tools=shop.tools if show_tools(prompt_style) else None)
