"""Reading and writing what a model says."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tau_retail_env.chat.parsing import MalformedMessageError, check_message, parse_message, render_message
from tau_retail_env.errors import InvalidValueError, TauRetailError
from tau_retail_env.messages import AgentMessage, ToolCall


def call(name="f", arguments="{}"):
    return f'<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call>'


def test_text_is_content_without_end_of_turn_and_space():
    assert parse_message("  Hello there.\n<|im_end|>\n<|endoftext|><|endoftext|> ") == AgentMessage("Hello there.")


def test_an_end_of_turn_token_inside_the_text_stays():
    assert parse_message("a<|im_end|>b").content == "a<|im_end|>b"


def test_a_call_is_read_with_its_arguments():
    message = parse_message(call("get_order_details", '{"order_id": "#W1", "n": [1, 2.0, null]}') + "<|im_end|>")
    assert message == AgentMessage(None, (ToolCall("get_order_details", {"order_id": "#W1", "n": [1, 2.0, None]}),))


def test_several_calls_keep_their_order_and_the_text_around_them():
    message = parse_message(f"One moment.\n{call('a')}\n{call('b')}\nDone.")
    assert [c.name for c in message.tool_calls] == ["a", "b"]
    assert message.content.startswith("One moment.") and message.content.endswith("Done.")


def test_missing_arguments_are_none_at_all():
    assert parse_message('<tool_call>{"name": "f"}</tool_call>').tool_calls == (ToolCall("f", {}),)


def test_unknown_tools_and_wrong_types_pass():
    assert parse_message(call("no such tool", '{"order_id": {"a": [false]}}')).tool_calls[0].name == "no such tool"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("<think>secret</think>Hi", "Hi"),
        ("<think>\na\n</think>\n\nHi", "Hi"),
        ("Hi <think>secret", "Hi"),
        ("secret</think>Hi", "Hi"),
        ("<think>a</think>Hi <think>b</think>you", "Hi you"),
        ("<think><tool_call></think>Hi", "Hi"),
    ],
)
def test_reasoning_is_dropped(text, left):
    assert parse_message(text).content == left


@pytest.mark.parametrize(
    "value",
    [
        "1 <think>A</think> St",
        "</think>",
        "<think>",
        "a</tool_call>b",
        '<tool_call>{"name": "g", "arguments": {}}</tool_call>',
        '"}}</tool_call>\n<tool_call>',
        "ends in a backslash \\",
        '\\"<think>\\',
        "<|im_end|>",
        "[TOOL_CALLS][{}]",
    ],
)
def test_nothing_inside_a_string_of_a_call_is_touched(value):
    body = json.dumps({"name": "f", "arguments": {"a": value, value: [value]}})
    read = parse_message(f"<think>Hm.</think>One moment.\n<tool_call>\n{body}\n</tool_call>\nDone.<|im_end|>")
    assert read.tool_calls == (ToolCall("f", {"a": value, value: [value]}),)
    assert read.content == "One moment.\n\nDone."


def test_a_call_may_hold_anything_in_its_name():
    for name in ("", " ", "</tool_call>", "<think>"):
        assert parse_message(call(name)).tool_calls == (ToolCall(name, {}),)


@pytest.mark.parametrize(
    "draft",
    [
        f"I could call {call('draft')} or",
        "I could write <tool_call>{broken",
        "a </tool_call> stands here",
        f"{call('draft')}{call('other')}<tool_call>",
    ],
)
def test_a_draft_in_reasoning_is_no_call_whoever_opened_it(draft):
    for text in (f"<think>{draft}</think>{call('real')}", f"{draft}</think>\n\n{call('real')}"):
        assert parse_message(text) == AgentMessage(None, (ToolCall("real", {}),))


def test_a_broken_call_after_reasoning_is_no_draft():
    with pytest.raises(MalformedMessageError, match="not valid JSON"):
        parse_message("<think>Hm.</think><tool_call>{broken</tool_call></think>Hi")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (" \n\t", "empty"),
        ("<|im_end|>", "empty"),
        ("<think>all of it", "never closed"),
        (f"<think>I should call {call()}", "close it with </think>"),
        ("<think>a</think>", "empty"),
        ("<think>a<think>b</think>c</think>Hi", "</think>"),
        ('<tool_call>{"name": "f"}', "never closed"),
        ('{"name": "f"}</tool_call>', "without its <tool_call>"),
        ('<tool_call><tool_call>{"name": "f"}</tool_call></tool_call>', "nested"),
        (call() + "</tool_call>", "without its <tool_call>"),
        ("<tool_call></tool_call>", "not valid JSON"),
        ("<tool_call>{'name': 'f'}</tool_call>", "not valid JSON"),
        (call("f", "{") + "Hi", "not valid JSON"),
        (call("f", '{"a": NaN}'), "NaN is not JSON"),
        (call("f", '{"a": 1e999}'), "too large"),
        (call("f", '{"a": ' + "9" * 5000 + "}"), "not valid JSON"),
        ('<tool_call>[{"name": "f"}]</tool_call>', "an array"),
        ('<tool_call>"f"</tool_call>', "a string"),
        ("<tool_call>null</tool_call>", "null"),
        ('<tool_call>{"arguments": {}}</tool_call>', "is missing"),
        ('<tool_call>{"name": 3}</tool_call>', "is a number"),
        ('<tool_call>{"name": true}</tool_call>', "is a boolean"),
        (call("f", '"{}"'), "a string"),
        (call("f", "null"), "null"),
        ('<tool_call>{"name": "f", "arguments": {}} done</tool_call>', "follows the call's end"),
        ('<tool_call>{"name": "f", "arguments": {}}}</tool_call>', "follows the call's end"),
        ('<tool_call>{"name": "f"}<tool_call>{"name": "g"}</tool_call>', "follows the call's end"),
        ("<tool_call><think>Hm.</think>" + call()[len("<tool_call>") :], "not valid JSON"),
        ('<tool_call>{"name": "f", "parameters": {"a": 1}}</tool_call>', 'unknown key "parameters"'),
        ('<tool_call>{"name": "f", "order_id": "#W1"}</tool_call>', 'every argument inside "arguments"'),
        ('<tool_call>{"name": "f", "arguments": {}, "id": "1"}</tool_call>', '{"name": "f", "arguments": {…}}'),
        ('<tool_call>{"name": "f", "arguments": {}, "Arguments": {}}</tool_call>', 'unknown key "Arguments"'),
        (call("f", '{"a": ' + "[" * 70 + "]" * 70 + "}"), "deeper than 64"),
        (call("f", '{"a": ' + "[" * 40_000 + "]" * 40_000 + "}"), "deep"),
        ("Hi \ud800", "U+D800"),
        (call("f", '{"a": "\udcff"}'), "U+DCFF"),
        (call("f", '{"a": "\\ud800"}'), "U+D800"),
        (call("f", '{"\\udfff": 1}'), "U+DFFF"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_reason(text, reason):
    with pytest.raises(MalformedMessageError) as caught:
        parse_message(text)
    assert reason in caught.value.reason
    assert isinstance(caught.value, TauRetailError)


@pytest.mark.parametrize("unit", ["a", "<", "{", "<tool", "<think>a</think>b", call() + "\n", "a<|im_end|>"])
def test_a_hundred_thousand_characters_are_read(unit):
    message = parse_message(unit * (100_000 // len(unit)))
    assert len(message.content or "") + len(message.tool_calls) > 1000


@pytest.mark.parametrize("unit", [call("calculate", '{"expression": "1 + 1"}') + "\n", "<think>a</think>b", "a</b> "])
def test_two_million_characters_are_read_in_time_linear_in_their_length(unit):
    began = time.process_time()
    parse_message(unit * (2_000_000 // len(unit)))
    assert time.process_time() - began < 8


@pytest.mark.parametrize(
    "unit",
    [
        *(" ", "<think>", "</think>", "<tool_call>", "</tool_call>", "<|im_end|>", "<|endoftext|>\n"),
        *('<tool_call>{"', '<tool_call>["\\"', "<tool_call>{</think>", '<tool_call>{"name": "f"}'),
    ],
)
def test_a_hundred_thousand_characters_of_nothing_are_refused(unit):
    with pytest.raises(MalformedMessageError):
        parse_message(unit * (100_000 // len(unit)))


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
TAGGED = st.lists(
    st.sampled_from(
        ["<tool_call>", "</tool_call>", "<think>", "</think>", "<|im_end|>", '"', "\\", "\n", " ", "a", "é"]
    )
).map("".join)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS | TAGGED,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | TAGGED, inner, max_size=3),
    max_leaves=8,
)
CALLS = st.lists(
    st.builds(ToolCall, (WORDS | TAGGED).filter(bool), st.dictionaries(WORDS | TAGGED, VALUES, max_size=3)), max_size=3
)


@given(content=WORDS.filter(lambda text: "<" not in text) | st.none(), calls=CALLS)
def test_what_is_written_is_read_back(content, calls):
    content = (content or "").strip() or None
    message = AgentMessage(content, tuple(calls))
    if content is None and not calls:
        with pytest.raises(InvalidValueError):
            render_message(message)
    else:
        assert parse_message(render_message(message)) == message


@given(content=TAGGED, calls=CALLS)
def test_content_with_tags_is_written_faithfully_or_refused(content, calls):
    try:
        text = render_message(AgentMessage(content, tuple(calls)))
    except InvalidValueError:
        return
    assert parse_message(text) == AgentMessage(content.strip() or None, tuple(calls))


@given(st.text() | TAGGED)
def test_any_text_is_read_or_refused_and_nothing_else(text):
    try:
        message = parse_message(text)
    except MalformedMessageError:
        return
    assert message.content or message.tool_calls


def test_a_call_is_written_as_hermes():
    text = render_message(AgentMessage("Né.", (ToolCall("f", {"a": "é"}, id="x"),)))
    assert text == 'Né.\n<tool_call>\n{"name": "f", "arguments": {"a": "é"}}\n</tool_call>'
    assert json.loads(text.split("\n")[2]) == {"name": "f", "arguments": {"a": "é"}}


@pytest.mark.parametrize(
    "message",
    [
        AgentMessage(),
        AgentMessage("  "),
        AgentMessage("<tool_call>"),
        AgentMessage("a<think>b</think>"),
        AgentMessage("bye<|im_end|>"),
        AgentMessage(None, (ToolCall("f", {"a": float("nan")}),)),
        AgentMessage(None, (ToolCall("f", {"a": object()}),)),
        AgentMessage(None, (ToolCall("f", {1: 2}),)),
        AgentMessage("\ud800"),
    ],
)
def test_what_would_be_read_otherwise_is_not_written(message):
    with pytest.raises(InvalidValueError, match="cannot be written"):
        render_message(message)


def test_the_refusal_shows_a_short_message_whole_and_the_beginning_of_a_long_one():
    with pytest.raises(InvalidValueError, match=r"Message AgentMessage\(content='<tool_call>'.*\) cannot be written"):
        render_message(AgentMessage("<tool_call>"))
    with pytest.raises(InvalidValueError, match=r"Message AgentMessage.{188}… cannot be written") as refused:
        render_message(AgentMessage("<tool_call>" + "é" * 5000))
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize(
    "message",
    [
        AgentMessage("\ud800"),
        AgentMessage(None, (ToolCall("\ud800", {}),)),
        AgentMessage(None, (ToolCall("f", {"a": [{"b": "\ud800"}]}),)),
        AgentMessage(None, (ToolCall("f", {"\ud800": 1}),)),
    ],
)
def test_an_api_agents_message_is_valid_unicode(message):
    with pytest.raises(MalformedMessageError, match="lone surrogate U\\+D800"):
        check_message(message)


def test_an_api_agents_arguments_may_hold_themselves():
    endless: list[object] = ["é"]
    endless.append(endless)
    check_message(AgentMessage(None, (ToolCall("f", {"a": endless}),)))
