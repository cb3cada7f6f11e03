"""The chat template for models without one: what it renders, and how it comes into a model's folder."""

import json

import pytest

from tau_retail_env.chat.encoder import ChatEncoder
from tau_retail_env.chat.parsing import parse_message
from tau_retail_env.chat.template import FILE_NAME, REPLACED_NAME, fallback_template, give_template
from tau_retail_env.cli import main
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


def folder_of(tmp_path, template):
    byte_tokenizer(template).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def loaded(folder):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


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


@pytest.mark.parametrize("template", [None, CHATML])
def test_the_command_gives_a_folder_a_template_that_shows_tools(tmp_path, capsys, template):
    pytest.importorskip("torch")
    folder = folder_of(tmp_path, template)
    with pytest.raises(InvalidValueError, match="chat-template FOLDER"):
        ChatEncoder(loaded(folder), system_prompt="Rules.", tools=[TOOL])
    assert main(["chat-template", str(folder)]) == 0
    assert f"{folder / FILE_NAME}: written" in capsys.readouterr().out
    assert ChatEncoder(loaded(folder), system_prompt="Rules.", tools=[TOOL]).rewritten_history() == ()
    assert (folder / REPLACED_NAME).exists() == (template is not None)
    if template is not None:
        assert (folder / REPLACED_NAME).read_text() == template
    before = sorted((path.name, path.read_bytes()) for path in folder.iterdir())
    assert main(["chat-template", str(folder)]) == 0
    assert "nothing was changed" in capsys.readouterr().out
    assert sorted((path.name, path.read_bytes()) for path in folder.iterdir()) == before


def test_an_earlier_template_is_not_lost(tmp_path):
    folder = folder_of(tmp_path, CHATML)
    (folder / REPLACED_NAME).write_text("the first")
    with pytest.raises(InvalidValueError, match=f"{REPLACED_NAME} is there already"):
        give_template(folder, loaded(folder))
    assert (folder / REPLACED_NAME).read_text() == "the first" and (folder / FILE_NAME).read_text() == CHATML


def test_the_command_wants_a_folder_with_a_tokenizer(tmp_path, capsys):
    pytest.importorskip("torch")
    assert main(["chat-template", "Qwen/Qwen2.5-0.5B"]) == 2
    assert "hf download Qwen/Qwen2.5-0.5B --local-dir FOLDER" in capsys.readouterr().err
    assert main(["chat-template", str(tmp_path)]) == 2
    assert "no tokenizer could be loaded" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
