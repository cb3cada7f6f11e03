"""Tokens of each prompt style, source and tokenizer: python benchmarks/prompt_tokens.py TOKENIZER_FOLDER …"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from tau_retail_env.chat.encoder import ChatEncoder
from tau_retail_env.errors import MissingDependencyError
from tau_retail_env.sources import open_shop
from tau_retail_env.sources.prompts import PromptStyle, show_tools, system_prompt
from tau_retail_env.world import Shop

SOURCES = ("tau_bench", "tau2")
HEADER = ("source", "tokenizer", "style", "rules", "tools", "total", "of upstream's")
UPSTREAM = "domain policy and tools"


def main() -> None:
    """Print one row for each source that is installed, tokenizer and style."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tokenizers", nargs="+", type=Path, help="folders or names of tokenizers with a chat template")
    tokenizers = {path.name: AutoTokenizer.from_pretrained(path) for path in parser.parse_args().tokenizers}
    _print_row(HEADER)
    _print_row(["---"] * len(HEADER))
    missing = [error for source in SOURCES for error in _print_source(source, tokenizers)]
    for error in missing:
        print(f"not measured: {error}")


def _print_source(source: str, tokenizers: Mapping[str, Any]) -> list[MissingDependencyError]:
    """Print the rows of one source; why not, where it is not installed."""
    try:
        shop = open_shop(source)
    except MissingDependencyError as error:
        return [error]
    for name, tokenizer in tokenizers.items():
        rules, whole = (_tokens(tokenizer, shop.domain_policy, tools) for tools in ((), shop.tools))
        _print_row([source, name, UPSTREAM, *_numbers(rules, whole), ""])
        for style in PromptStyle:
            rules, total = (_style_tokens(tokenizer, style, source, shop, tools) for tools in ((), shop.tools))
            _print_row([source, name, style, *_numbers(rules, total), f"{total / whole:.1%}"])
    return []


def _numbers(rules: int, total: int) -> list[str]:
    return [f"{rules:,}", f"{total - rules:,}", f"{total:,}"]


def _style_tokens(tokenizer: Any, style: str, source: str, shop: Shop, tools: Sequence[Mapping[str, Any]]) -> int:
    text = system_prompt(style, source, shop.domain_policy, tools)
    return _tokens(tokenizer, text, tools if show_tools(style) else ())


def _tokens(tokenizer: Any, text: str, tools: Sequence[Mapping[str, Any]]) -> int:
    """Length of what every episode starts with, the system message as the template renders it."""
    return len(ChatEncoder(tokenizer, system_prompt=text, tools=tools).prefix)


def _print_row(cells: Sequence[str]) -> None:
    print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
