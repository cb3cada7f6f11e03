"""The formats of tool calls: read, written, and told from a model's own chat template."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tau_retail_env.chat.encoder import ChatEncoder
from tau_retail_env.chat.parsing import MalformedMessageError, parse_message, render_message
from tau_retail_env.chat.tool_formats import ToolFormat
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.messages import AgentMessage, ToolCall
from tests.byte_tokenizer import byte_tokenizer

TOOL = {
    "type": "function",
    "function": {
        "name": "f",
        "description": "Does.",
        "parameters": {
            "type": "object",
            "properties": {
                "text": {"type": "string"},
                "items": {"type": "array", "items": {"type": "string"}},
                "count": {"type": "integer"},
                "sure": {"type": "boolean"},
            },
        },
    },
}
QWEN = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "additional_special_tokens": ["<|im_start|>"]}
LLAMA = {
    "eos_token": "<|eot_id|>",
    "bos_token": "<|begin_of_text|>",
    "additional_special_tokens": ["<|start_header_id|>", "<|end_header_id|>", "<|python_tag|>"],
}
MISTRAL = {
    "eos_token": "</s>",
    "bos_token": "<s>",
    "additional_special_tokens": ["[INST]", "[/INST]", "[TOOL_CALLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]"],
}
MISTRAL_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m.role == 'system' %}[SYSTEM_PROMPT]{{ m.content }}[/SYSTEM_PROMPT]"
    "{% if tools %}[AVAILABLE_TOOLS]{{ tools | tojson }}[/AVAILABLE_TOOLS]{% endif %}"
    "{% elif m.role == 'user' %}[INST]{{ m.content }}[/INST]"
    "{% elif m.role == 'tool' %}[TOOL_RESULTS]{{ m.content }}[/TOOL_RESULTS]"
    "{% elif m.tool_calls %}[TOOL_CALLS][{% for c in m.tool_calls %}"
    '{"name": {{ c.function.name | tojson }}, "arguments": {{ c.function.arguments | tojson }}, "id": "{{ c.id }}"}'
    "{% endfor %}]{{ eos_token }}{% else %}{{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
)


def read(text, tool_format):
    return parse_message(text, tool_format, [TOOL])


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("", {}),
        ("<parameter=text>\nplain\n</parameter>\n", {"text": "plain"}),
        ("<parameter=text>\ntwo\nlines\n\n</parameter>\n", {"text": "two\nlines\n"}),
        ("<parameter=text>\n12\n</parameter>\n", {"text": "12"}),
        (
            "<parameter=text>\na</parameter>b </tool_call> <think>\n</parameter>\n",
            {"text": "a</parameter>b </tool_call> <think>"},
        ),
        ('<parameter=items>\n["1", "2"]\n</parameter>\n', {"items": ["1", "2"]}),
        ("<parameter=count>\n3\n</parameter>\n<parameter=sure>\nTrue\n</parameter>\n", {"count": 3, "sure": True}),
        ("<parameter=count>\nthree\n</parameter>\n", {"count": "three"}),
        ("<parameter=unknown>\n3\n</parameter>\n", {"unknown": "3"}),
    ],
)
def test_qwens_xml_is_read_by_the_tools_schema(text, arguments):
    message = read(f"<tool_call>\n<function=f>\n{text}</function>\n</tool_call><|im_end|>", ToolFormat.QWEN_XML)
    assert message == AgentMessage(None, (ToolCall("f", arguments),))


@pytest.mark.parametrize(
    ("text", "tool_format", "reason"),
    [
        ('<tool_call>{"name": "f", "arguments": {}}</tool_call>', "qwen_xml", "must hold <function=NAME>"),
        ("<tool_call><function=f>", "qwen_xml", "never closed"),
        ("<tool_call><function=f></function>", "qwen_xml", "never closed"),
        ("<tool_call><function=f>stray</function></tool_call>", "qwen_xml", "something else"),
        ("<tool_call><function=f><parameter=a>1</function></tool_call>", "qwen_xml", "something else"),
        ("</tool_call>", "qwen_xml", "without its <tool_call>"),
        ('{"name": "f", "arguments": {}}', "llama3_json", 'unknown key "arguments"'),
        ('{"name": "f", "parameters": {}} and so on', "llama3_json", "Text follows the call"),
        ("{broken", "llama3_json", "not valid JSON"),
        ("<|python_tag|>print(1)", "llama3_json", "not valid JSON"),
        ('[TOOL_CALLS]{"name": "f"}', "mistral", "an array of calls"),
        ("[TOOL_CALLS][]", "mistral", "an array of calls"),
        ('[TOOL_CALLS][{"name": "f", "parameters": {}}]', "mistral", 'unknown key "parameters"'),
        ("[TOOL_CALLS]f[ARGS][1]", "mistral", "an array"),
    ],
)
def test_a_broken_call_is_refused_with_its_reason(text, tool_format, reason):
    with pytest.raises(MalformedMessageError) as caught:
        read(text, ToolFormat(tool_format))
    assert reason in caught.value.reason


@pytest.mark.parametrize(
    ("text", "tool_format"),
    [
        ('<|python_tag|>{"name": "f", "parameters": {"count": 1}}<|eom_id|>', ToolFormat.LLAMA3_JSON),
        ('[TOOL_CALLS] [{"name": "f", "arguments": {"count": 1}, "id": "abcdefghi"}]', ToolFormat.MISTRAL),
        ('[TOOL_CALLS]f[ARGS]{"count": 1}', ToolFormat.MISTRAL),
        ('[TOOL_CALLS]f[CALL_ID]abcdefghi[ARGS]{"count": 1}', ToolFormat.MISTRAL),
    ],
)
def test_other_models_ways_of_one_call_are_read(text, tool_format):
    assert read(text, tool_format).tool_calls == (ToolCall("f", {"count": 1}),)


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
ARGUMENTS = st.fixed_dictionaries(
    {},
    optional={"text": WORDS, "items": st.lists(WORDS, max_size=3), "count": st.integers(-9, 9), "sure": st.booleans()},
)


@pytest.mark.parametrize("tool_format", list(ToolFormat))
@given(arguments=ARGUMENTS)
def test_what_is_written_is_read_back(tool_format, arguments):
    message = AgentMessage(None, (ToolCall("f", arguments),))
    assert read(render_message(message, tool_format, [TOOL]), tool_format) == message


def template_named(name):
    trl = pytest.importorskip("trl", reason="trl, which has the templates, is not installed")
    return (Path(trl.__file__).parent / "chat_templates" / f"{name}.jinja").read_text(encoding="utf-8")


def encoder_of(template, tokens, tools=(TOOL,)):
    tokenizer = byte_tokenizer(template, **tokens)
    tokenizer.name_or_path = "the-model"
    return ChatEncoder(tokenizer, system_prompt="Rules.", tools=tools)


@pytest.mark.parametrize(
    ("name", "tokens", "expected"),
    [
        ("qwen2_5", QWEN, ToolFormat.HERMES),
        ("qwen3", QWEN, ToolFormat.HERMES),
        ("qwen3_instruct_2507", QWEN, ToolFormat.HERMES),
        ("qwen3_5_think", QWEN, ToolFormat.QWEN_XML),
        ("qwen3_5_nothink", QWEN, ToolFormat.QWEN_XML),
        ("qwen3_6", QWEN, ToolFormat.QWEN_XML),
        ("qwen3_8", QWEN, ToolFormat.QWEN_XML),
        ("llama3_1", LLAMA, ToolFormat.LLAMA3_JSON),
        ("llama3_2", LLAMA, ToolFormat.LLAMA3_JSON),
    ],
)
def test_the_format_is_told_from_the_models_own_template(name, tokens, expected):
    encoder = encoder_of(template_named(name), tokens)
    assert encoder.tool_format is expected
    for opening in (
        [{"role": "user", "content": "Hi"}],
        [{"role": "assistant", "content": "Hello"}, {"role": "user", "content": "Hi"}],
    ):
        assert tuple(encoder.opening(opening)[: len(encoder.prefix)]) == encoder.prefix
    assert "Rules." in encoder.decode(encoder.prefix) and '"f"' in encoder.decode(encoder.prefix)
    assert "ok" in encoder.decode(encoder.following([{"role": "tool", "name": "f", "content": "ok"}]))


def test_mistrals_format_is_told_from_its_template():
    assert encoder_of(MISTRAL_TEMPLATE, MISTRAL).tool_format is ToolFormat.MISTRAL


def test_without_tools_in_the_template_the_prompts_own_format_counts():
    assert encoder_of(template_named("qwen3_5_think"), QWEN, tools=None).tool_format is ToolFormat.HERMES


@pytest.mark.parametrize("name", ["lfm2_v2", "lfm2_2_5", "gemma", "glm4moe", "gptoss", "deepseekv3", "cohere2"])
def test_a_template_that_cannot_be_used_is_refused_in_one_line_with_model_and_remedy(name):
    with pytest.raises(InvalidValueError) as caught:
        encoder_of(template_named(name), QWEN)
    text = str(caught.value)
    assert "the-model" in text and "doctor --chat-template" in text and "\n" not in text


def test_a_format_that_is_not_read_is_shown_in_the_refusal():
    with pytest.raises(InvalidValueError, match=r"the-model.*tool_call_start.*hermes, qwen_xml.*compressed"):
        encoder_of(template_named("lfm2_v2"), QWEN)


@pytest.mark.parametrize("tool_format", ToolFormat)
@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_number_that_json_does_not_know_is_written_in_no_format(tool_format, number):
    with pytest.raises(InvalidValueError, match="cannot be written"):
        render_message(AgentMessage(None, (ToolCall("f", {"count": number}),)), tool_format, [TOOL])
