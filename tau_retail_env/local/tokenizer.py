"""The small model's tokenizer: learnt from conversations, made so that identifiers are easy to copy.

It is an ordinary Qwen2 tokenizer (transformers, vLLM and SGLang load every Qwen2 model with that class and its way of
cutting words, whatever the files say) with a small vocabulary and many added tokens: pairs of digits, the keys of JSON
objects with the punctuation around them, the names of tools. Added tokens are matched before words are cut.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tau_retail_env.errors import InvalidValueError

if TYPE_CHECKING:
    from transformers import Qwen2Tokenizer

END_OF_TEXT = "<|endoftext|>"
TURN_STARTS = tuple(f"<|im_start|>{role}\n" for role in ("system", "user", "assistant", "tool"))
TURN_END = "<|im_end|>"
SPECIAL_TOKENS = (END_OF_TEXT, TURN_END, *TURN_STARTS)
TOOL_CALL_TAGS = ("<tool_call>\n", "\n</tool_call>")

DIGIT_PAIRS = tuple(f"{number:02d}" for number in range(100))
"""An id is the same tokens wherever it stands, and half as many as digits."""
NULL_KEYS = r'(?:, "[a-z_]+": null)+'
JSON_KEYS = r'(?:(?:null)?"?[\]}]*, [\[{]*|[\[{]+)?(?:"[a-z_ ]+\d?": [\[{]*)+"?'
"""Keys of JSON objects with the punctuation before and behind them; runs of keys without a value."""
ID_PREFIX = r" ?#W(?=\d)| ?(?:credit_card|gift_card|paypal)_(?=\d)"
TOOL_NAME = r"[a-z]+(?:_[a-z]+)+(?![a-z_\d])"
WHOLE = re.compile("|".join((NULL_KEYS, JSON_KEYS, ID_PREFIX, TOOL_NAME)))
"""What becomes one token where it is frequent."""
MIN_COUNT = 20
"""Fewer occurrences do not earn a token of their own."""

CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"
)
"""ChatML, in which the agent's tool calls stand in its content; tools are not listed: the small model knows them."""


def train_tokenizer(texts: Sequence[str], vocab_size: int) -> Qwen2Tokenizer:
    """Learn a tokenizer from conversations.

    Args:
        texts: messages to learn from, without special tokens.
        vocab_size: most tokens in all.

    Returns:
        The tokenizer with its chat template; the end-of-turn token is EOS, the end of text is padding.

    Raises:
        InvalidValueError: `vocab_size` leaves no room for bytes, pairs of digits and what must be whole.
    """
    from tokenizers import AddedToken, Tokenizer, models, trainers
    from transformers import Qwen2Tokenizer

    counts = Counter(piece for text in texts for piece in WHOLE.findall(text))
    whole = sorted(piece for piece, count in counts.items() if count >= MIN_COUNT)
    added = (*TOOL_CALL_TAGS, *DIGIT_PAIRS, *whole)
    room = vocab_size - len(SPECIAL_TOKENS) - len(added)
    if room < 256:
        raise InvalidValueError(f"vocab_size {vocab_size} is too small: at least {vocab_size - room + 256} are needed")
    words = Tokenizer(models.BPE())
    words.pre_tokenizer = Qwen2Tokenizer().backend_tokenizer.pre_tokenizer
    alphabet = sorted(_byte_characters())
    trainer = trainers.BpeTrainer(vocab_size=room, initial_alphabet=alphabet, min_frequency=5, show_progress=False)
    cut = re.compile(WHOLE.pattern + r"|\d\d")
    words.train_from_iterator((piece for text in texts for piece in cut.split(text) if piece), trainer)
    learnt = words.get_vocab()
    tokenizer = Qwen2Tokenizer(
        vocab=dict(sorted(learnt.items(), key=lambda item: item[1])),
        merges=_merges(words),
        eos_token=TURN_END,
        pad_token=END_OF_TEXT,
        unk_token=END_OF_TEXT,
        additional_special_tokens=list(TURN_STARTS),
        chat_template=CHAT_TEMPLATE,
        model_max_length=2048,
    )
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in added])
    return tokenizer


def _byte_characters() -> list[str]:
    from tokenizers.pre_tokenizers import ByteLevel

    return ByteLevel.alphabet()


def _merges(words: object) -> list[tuple[str, str]]:
    import json

    return [tuple(pair) for pair in json.loads(words.to_str())["model"]["merges"]]  # type: ignore[attr-defined]
