"""The small model's tokenizer: learnt from conversations, made so that identifiers are easy to copy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

END_OF_TEXT = "<|endoftext|>"
TURN_START = "<|im_start|>"
TURN_END = "<|im_end|>"
SPECIAL_TOKENS = (END_OF_TEXT, TURN_START, TURN_END)
TOOL_CALL_TAGS = ("<tool_call>", "</tool_call>")

JSON_KEYS = r'(?:(?:null)?"?[\]}]*, [\[{]*|[\[{]+)?(?:"[a-z_ ]+\d?": [\[{]*)+"?'
"""Keys of JSON objects with the punctuation around them are one word, so that they can become one token."""
NULL_KEYS = r'(?:, "[a-z_]+": null)+'
"""A run of keys without a value, as every order has them."""
ID_PREFIX = r"#W(?=\d)|(?:credit_card|gift_card|paypal)_(?=\d)"
NUMBER = r"\d{1,2}"
"""Digits go in pairs from the left: an id is the same tokens wherever it stands, and half as many as digits."""
TOOL_NAME = r"[a-z]+(?:_[a-z]+)+(?![a-z_\d])"
WORD = r" ?\p{L}+"
REST = r" ?[^\s\p{L}\d]+|\s+"

CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"
)
"""ChatML, in which the agent's tool calls stand in its content; tools are not listed: the small model knows them."""


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Learn a byte-level BPE tokenizer from conversations.

    Args:
        texts: what to learn from, without special tokens.
        vocab_size: number of tokens, special ones, all bytes and all pairs of digits included; at least 512.

    Returns:
        The tokenizer with its chat template, end-of-turn token as EOS and end of text as padding.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    words = Regex("|".join((NULL_KEYS, JSON_KEYS, ID_PREFIX, NUMBER, TOOL_NAME, WORD, REST)))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(words, behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(TOOL_CALL_TAGS),
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    pairs = " ".join(f"{number:02d}" for number in range(100))
    tokenizer.train_from_iterator([*texts, *[pairs] * 1000], trainer)
    tokenizer.add_tokens([AddedToken(tag, normalized=False) for tag in TOOL_CALL_TAGS])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=TURN_END,
        pad_token=END_OF_TEXT,
        additional_special_tokens=[TURN_START],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=2048,
    )
