"""The chat template for models without one: what it renders."""

import json

import pytest

from tau_retail_env.chat.encoder import ChatEncoder
from tau_retail_env.chat.parsing import parse_message
from tau_retail_env.chat.template import fallback_template
from tau_retail_env.errors import InvalidValueError
from tests.byte_tokenizer import CHATML, byte_tokenizer

TOOL = {"type": "function", "function": {"name": "look", "description": "Sees é.", "parameters": {"type": "object"}}}
CALLS = [
    {"type": "function", "function": {"name": "look", "arguments": {"where": "née"}}},
    {"type": "function", "function": {"name": "look", "arguments": '{"where": 2}'}},
]


def fitted(**tokens):
    tokenizer = byte_tokenizer(None, **tokens)
    tokenizer.chat_template = fallback_template(tokenizer)
    return tokenizer


def test_tools_calls_and_results_are_rendered():
    messages = [
        {"role": "system", "content": "Rules."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Yes.", "tool_calls": CALLS},
        {"role": "tool", "content": "ok"},
    ]
    text = fitted().apply_chat_template(messages, tools=[TOOL], tokenize=False, add_generation_prompt=True)
    system, user, agent, tool, rest = text.split("<|im_end|>\n")
    assert (
        system.startswith("<|im_start|>system\nRules.\n\n# Tools\n") and json.dumps(TOOL, ensure_ascii=False) in system
    )
    assert user == "<|im_start|>user\nHi"
    called = parse_message(agent.removeprefix("<|im_start|>assistant\n"))
    assert called.content == "Yes."
    assert [(call.name, call.arguments) for call in called.tool_calls] == [
        ("look", {"where": "née"}),
        ("look", {"where": 2}),
    ]
    assert tool == "<|im_start|>tool\n<tool_response>\nok\n</tool_response>"
    assert rest == "<|im_start|>assistant\n"


def test_without_tools_it_is_plain_chatml():
    messages = [{"role": "system", "content": "Rules."}, {"role": "user", "content": "Hi"}]
    for some in (messages, messages[1:]):
        plain = byte_tokenizer(CHATML).apply_chat_template(some, tokenize=False, add_generation_prompt=True)
        assert fitted().apply_chat_template(some, tokenize=False, add_generation_prompt=True) == plain


def test_a_turn_ends_in_eos_where_chatmls_token_is_none():
    tokenizer = fitted(eos_token="</s>", pad_token="<pad>")
    encoder = ChatEncoder(tokenizer, system_prompt="Rules.", tools=[TOOL])
    assert (encoder.end_of_turn_id, encoder.stop_ids) == (tokenizer.eos_token_id, (tokenizer.eos_token_id,))


def test_a_conversation_begins_with_the_bos_of_tokenizers_that_set_one():
    from tokenizers.processors import TemplateProcessing

    tokens = {"eos_token": "</s>", "bos_token": "<s>"}
    tokenizer = byte_tokenizer(None, **tokens)
    assert not fallback_template(tokenizer).startswith("{{- bos_token")
    bos = ("<s>", tokenizer.bos_token_id)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[bos])
    tokenizer.chat_template = fallback_template(tokenizer)
    encoder = ChatEncoder(tokenizer, system_prompt="Rules.", tools=[TOOL])
    opening = encoder.opening([{"role": "user", "content": "Hi"}])
    assert opening[0] == tokenizer.bos_token_id and opening.count(tokenizer.bos_token_id) == 1


def test_a_tokenizer_in_which_nothing_can_end_a_turn_is_refused():
    with pytest.raises(InvalidValueError, match=r"neither the token <\|im_end\|> nor an EOS"):
        fallback_template(byte_tokenizer(None, pad_token="<pad>"))
