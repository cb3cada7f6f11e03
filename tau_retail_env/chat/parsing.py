"""Between a model's text and an AgentMessage: tool calls, reasoning, end-of-turn tokens."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tau_retail_env.chat.calls import MalformedMessageError, check_unicode
from tau_retail_env.chat.tool_formats import FORMS, ToolFormat, Tools
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.messages import AgentMessage, ToolCall

__all__ = ["END_OF_TURN_TEXTS", "MalformedMessageError", "check_message", "parse_message", "render_message"]

END_OF_TURN_TEXTS = ("<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|eom_id|>")

_THINK_TAG = re.compile(r"</?think>")


def parse_message(text: str, tool_format: ToolFormat = ToolFormat.HERMES, tools: Tools = ()) -> AgentMessage:
    """Read what a model wrote, in time linear in its length.

    End-of-turn tokens at the end are stripped. Reasoning is dropped: what stands between `<think>` and `</think>`,
    after an unclosed `<think>`, or before a first `</think>` whose opening tag was part of the prompt. A tool call ends
    where its JSON ends, so a tag inside one of its strings is text. Calls may have any name, the empty one included,
    and any arguments that are a JSON object.

    Args:
        text: the model's own tokens of one turn, decoded.
        tool_format: how its calls are written; calls in another format are text.
        tools: OpenAI schemas; "qwen_xml" takes from them which arguments are strings.

    Returns:
        The calls in their order, and as content whatever stands outside of them, stripped (None if nothing is left).

    Raises:
        MalformedMessageError: nothing is left to say or do; a tag is unclosed, nested or stray; a call is not a JSON
            object with a name, arguments and nothing else; lone surrogates (invalid UTF-8); JSON nested too deeply.
    """
    check_unicode(text)
    said, calls, unclosed = _scan(_without_end_of_turn(text), tool_format, tools)
    content = "".join(said).strip() or None
    if content is None and not calls:
        if unclosed:
            raise MalformedMessageError(
                "The message is empty but for a <think> that is never closed: close it with </think>, then write to "
                "the customer or call a tool."
            )
        raise MalformedMessageError("The message is empty: write to the customer or call a tool.")
    return AgentMessage(content=content, tool_calls=tuple(calls))


def check_message(message: AgentMessage) -> None:
    """Hold an API agent's message to the same rules as a model's text.

    Raises:
        MalformedMessageError: it is empty, not valid Unicode, or the arguments of a call are not an object.
    """
    if not message.tool_calls and not (message.content or "").strip():
        raise MalformedMessageError("The message is empty: write to the customer or call a tool.")
    for call in message.tool_calls:
        if not isinstance(call.arguments, Mapping):
            raise MalformedMessageError(f"The arguments of {call.name!r} must be an object.")
    check_unicode(_text_of([message.content, *((call.name, call.arguments) for call in message.tool_calls)]))


def _text_of(value: Any) -> str:
    """All the texts in a value together, whatever else an agent's own code has put into it."""
    left, seen, found = [value], set[int](), []
    while left:
        one = left.pop()
        if isinstance(one, str):
            found.append(one)
        # Mapping last: it is slow to ask.
        elif isinstance(one, (dict, list, tuple, Mapping)) and id(one) not in seen:
            seen.add(id(one))
            left += one if isinstance(one, (list, tuple)) else [*one.keys(), *one.values()]
    return "".join(found)


def render_message(message: AgentMessage, tool_format: ToolFormat = ToolFormat.HERMES, tools: Tools = ()) -> str:
    """Write a message as a model would: `parse_message` reads it back, but for ids and space around the text.

    Args:
        message: text, calls, or both.
        tool_format: how the calls are written.
        tools: as `parse_message` will be given them.

    Raises:
        InvalidValueError: the text would not be read back as the same message: it is empty, its content holds a tag or
            ends in an end-of-turn token, an argument is not JSON.
    """
    content = (message.content or "").strip()
    try:
        parts = [content] if content else []
        parts += [FORMS[tool_format].write(message.tool_calls)] if message.tool_calls else []
        text = "\n".join(parts)
        read = parse_message(text, tool_format, tools)
    except (MalformedMessageError, TypeError, ValueError, RecursionError) as error:
        raise InvalidValueError(f"Message {_short(message)} cannot be written as a model's text: {error}") from error
    calls = [(call.name, dict(call.arguments)) for call in message.tool_calls]
    if (read.content or "", [(call.name, call.arguments) for call in read.tool_calls]) != (content, calls):
        raise InvalidValueError(
            f"Message {_short(message)} cannot be written as a model's text: it would be read back as {_short(read)}"
        )
    return text


def _without_end_of_turn(text: str) -> str:
    end = len(text)
    while True:
        while end and text[end - 1].isspace():
            end -= 1
        token = next((token for token in END_OF_TURN_TEXTS if text.endswith(token, 0, end)), None)
        if token is None:
            return text[:end]
        end -= len(token)


def _scan(text: str, tool_format: ToolFormat, tools: Tools) -> tuple[list[str], list[ToolCall], bool]:
    """What stands outside of calls and reasoning, the calls, and whether the text ends in unclosed reasoning."""
    form = FORMS[tool_format]
    said: list[str] = []
    calls: list[ToolCall] = []
    place = 0
    may_close = True  # a first </think> closes what the prompt opened
    think, call = _THINK_TAG.search(text), form.tag.search(text)
    while think or call:
        if think and not (call and call.start() < think.start()):
            said.append(text[place : think.start()])
            place = think.end()
            if think[0] == "<think>":
                place = text.find("</think>", place) + len("</think>")
                if place < len("</think>"):
                    return said, calls, True
            elif may_close:
                said, calls = [], []
            else:
                raise MalformedMessageError("A </think> stands without its <think>.")
            may_close = False
        elif call:
            said.append(text[place : call.start()])
            try:
                read, place = form.read(text, call, tools)
                calls += read
            except MalformedMessageError:
                # A draft inside reasoning that the prompt opened need not be a call.
                place = call.end()
                draft_end = _THINK_TAG.search(text, place) if may_close else None
                if draft_end is None or draft_end[0] != "</think>":
                    raise
                place = draft_end.start()
        # What was not found is not looked for again: thousands of calls would each read the text to its end.
        think = _THINK_TAG.search(text, place) if think and think.start() < place else think
        call = form.tag.search(text, place) if call and call.start() < place else call
    said.append(text[place:])
    return said, calls, False


def _short(message: AgentMessage) -> str:
    text = ascii(message)
    return text if len(text) <= 200 else f"{text[:200]}…"
