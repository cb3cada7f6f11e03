"""Between a model's text and an AgentMessage: hermes tool calls (Qwen2.5, Qwen3), reasoning, end-of-turn tokens."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from tau_retail_env.errors import InvalidValueError, TauRetailError
from tau_retail_env.messages import AgentMessage, ToolCall

END_OF_TURN_TEXTS = ("<|im_end|>", "<|endoftext|>")
MAX_JSON_DEPTH = 64

_CALL_TAG = re.compile(r"(</?tool_call>)")
_THINK_TAG = re.compile(r"(</?think>)")
_ANY_TAG = re.compile(r"<(?=/?(?:tool_call|think)>)")


class MalformedMessageError(TauRetailError):
    """A model's text that cannot be read as a message; nothing of it may be executed."""

    def __init__(self, reason: str) -> None:
        """Keep the reason, one sentence that the agent can be shown."""
        super().__init__(reason)
        self.reason = reason


def parse_message(text: str) -> AgentMessage:
    """Read what a model wrote, in time linear in its length.

    End-of-turn tokens at the end are stripped. Reasoning is dropped: what stands between `<think>` and `</think>`,
    after an unclosed `<think>`, or before a first `</think>` whose opening tag was part of the prompt. Tool calls may
    have any name and any arguments that are a JSON object.

    Args:
        text: the model's own tokens of one turn, decoded.

    Returns:
        The calls in their order, and as content whatever stands outside of them, stripped (None if nothing is left).

    Raises:
        MalformedMessageError: nothing is left to say or do; a tag is unclosed, nested or stray; a call is not a JSON
            object with a name and arguments; lone surrogates (invalid UTF-8); JSON nested deeper than MAX_JSON_DEPTH.
    """
    _check_unicode(text)
    pieces = _CALL_TAG.split(_without_reasoning(_without_end_of_turn(text)))
    said: list[str] = []
    calls: list[ToolCall] = []
    body: str | None = None
    inside = False
    for piece in pieces:
        if piece == "<tool_call>":
            if inside:
                raise MalformedMessageError("A <tool_call> is nested in another; close each with </tool_call> first.")
            inside, body = True, ""
        elif piece == "</tool_call>":
            if not inside:
                raise MalformedMessageError("A </tool_call> stands without its <tool_call>.")
            calls.append(_call(body or ""))
            inside = False
        elif inside:
            body = piece
        else:
            said.append(piece)
    if inside:
        raise MalformedMessageError("A <tool_call> is never closed with </tool_call>.")
    content = "".join(said).strip() or None
    if content is None and not calls:
        raise MalformedMessageError("The message is empty: write to the customer or call a tool.")
    return AgentMessage(content=content, tool_calls=tuple(calls))


def render_message(message: AgentMessage) -> str:
    """Write a message as a model would: `parse_message` reads it back, but for ids and space around the text.

    Args:
        message: text, calls, or both.

    Raises:
        InvalidValueError: the text would not be read back as the same message: it is empty, its content holds a tag or
            ends in an end-of-turn token, an argument is not JSON.
    """
    content = (message.content or "").strip()
    try:
        parts = [content] if content else []
        parts.extend(f"<tool_call>\n{_call_json(call)}\n</tool_call>" for call in message.tool_calls)
        text = "\n".join(parts)
        read = parse_message(text)
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


def _without_reasoning(text: str) -> str:
    """Drop reasoning; a first `</think>` closes what the prompt's own `<think>` opened."""
    pieces = _THINK_TAG.split(text)
    if len(pieces) == 1:
        return text
    tags = pieces[1::2]
    if tags[0] == "</think>":
        pieces, tags = pieces[2:], tags[1:]
    kept = [pieces[0]]
    thinking = False
    for tag, piece in zip(tags, pieces[2::2], strict=True):
        if tag == "</think>":
            if not thinking:
                raise MalformedMessageError("A </think> stands without its <think>.")
            kept.append(piece)
        thinking = tag == "<think>"
    return "".join(kept)


def _call(body: str) -> ToolCall:
    try:
        call = json.loads(body, parse_constant=_refuse_constant, parse_float=_finite_float)
    except RecursionError:
        raise MalformedMessageError("The JSON in <tool_call> is nested too deeply.") from None
    except ValueError as error:
        raise MalformedMessageError(f"The text in <tool_call> is not valid JSON: {error}") from None
    if not isinstance(call, dict):
        raise MalformedMessageError(f"The JSON in <tool_call> must be an object, not {_kind(call)}.")
    name = call.get("name")
    if not isinstance(name, str) or not name:
        found = "is missing" if "name" not in call else f"is {_kind(name)}" if name != "" else "is empty"
        raise MalformedMessageError(f'The "name" in <tool_call> {found}; it must be the name of a tool.')
    arguments = call.get("arguments", {})
    if not isinstance(arguments, dict):
        raise MalformedMessageError(f'The "arguments" in <tool_call> must be an object, not {_kind(arguments)}.')
    _check_depth(call)
    if "\\u" in body:
        _check_unicode(json.dumps(call, ensure_ascii=False))
    return ToolCall(name=name, arguments=arguments)


def _call_json(call: ToolCall) -> str:
    """The call as JSON, with `<` escaped where it would open one of our tags (in JSON it can only be in a string)."""
    text = json.dumps({"name": call.name, "arguments": dict(call.arguments)}, ensure_ascii=False, allow_nan=False)
    return _ANY_TAG.sub(r"\\u003c", text)


def _check_unicode(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise MalformedMessageError(
            f"The message is not valid UTF-8: it holds the lone surrogate U+{ord(text[error.start]):04X}."
        ) from None


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_JSON_DEPTH):
        level = [
            item
            for container in level
            if isinstance(container, dict | list)
            for item in (container.values() if isinstance(container, dict) else container)
        ]
        if not level:
            return
    raise MalformedMessageError(f"The JSON in <tool_call> is nested deeper than {MAX_JSON_DEPTH} levels.")


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _finite_float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"the number {digits[:40]} is too large")
    return value


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    names: dict[type, str] = {str: "a string", list: "an array", dict: "an object"}
    return names.get(type(value), "a number")


def _short(message: AgentMessage) -> str:
    text = ascii(message)
    return text if len(text) <= 200 else f"{text[:200]}…"
