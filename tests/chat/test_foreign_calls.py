"""Which texts are counted as calls in a format that the episode does not read."""

import time

import pytest

from tau_retail_env.chat.foreign_calls import holds_foreign_call
from tau_retail_env.chat.tool_formats import ToolFormat

TOOLS = ("get_order_details", "calculate", "list_all_product_types")


def foreign(text, tool_format=ToolFormat.HERMES):
    return holds_foreign_call(text, tool_format, TOOLS)


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "get_order_details", "arguments": {"order_id": "#W1"}}',
        '{"name": "calculate", "parameters": {"expression": "1 + 1"}}',
        '{"arguments": {"expression": "1 + 1"}, "name": "calculate"}',
        'Let me look.\n```json\n{\n  "name": "get_order_details",\n  "arguments": {"order_id": "#W1"}\n}\n```',
        '[{"name": "get_order_details", "arguments": {}}]',
        '<tools>\n{"name": "calculate"}\n</tools>',
        '[get_order_details(order_id="#W1")]',
        "<|tool_call_start|>[calculate(expression='1')]<|tool_call_end|>",
        "`list_all_product_types()`",
        'calculate(expression="1 + 1")',
        "<function=calculate>\n<parameter=expression>\n1\n</parameter>\n</function>",
        '[TOOL_CALLS][{"name": "calculate", "arguments": {}}]',
        '<|python_tag|>{"name": "calculate", "parameters": {}}',
    ],
)
def test_a_call_in_another_format_is_noticed(text):
    assert foreign(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Your name and your order number, please.",
        'Your order has the status "pending" and the items {"lamp", "desk"}.',
        "I can calculate (for example) the difference.",
        "[unknown_tool(x=1)]",
        "The refund (12.50) goes to the card (ending 1234).",
        'Its options are {"name": "desk lamp", "color": "black"}.',
        "I will use get_order_details for that.",
    ],
)
def test_speech_is_none(text):
    assert not foreign(text)


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("<function=calculate>", ToolFormat.QWEN_XML),
        ("<|python_tag|>", ToolFormat.LLAMA3_JSON),
        ("[TOOL_CALLS]", ToolFormat.MISTRAL),
    ],
)
def test_the_episodes_own_tags_are_not_foreign(text, own):
    assert [foreign(text, one) for one in ToolFormat] == [one is not own for one in ToolFormat]


@pytest.mark.parametrize("unit", ['"name": "', '"arguments": {', "[", "\n", " \n", "calculate(", '"name" : "a", '])
def test_a_million_characters_take_no_time(unit):
    began = time.perf_counter()
    foreign(unit * (1_000_000 // len(unit)))
    assert time.perf_counter() - began < 5
