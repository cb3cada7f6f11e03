"""The formats in which models write tool calls: where a call begins in a text, how it is read, how it is written."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from tau_retail_env.chat.calls import MalformedMessageError, after_space, call_of, read_json
from tau_retail_env.messages import ToolCall

Tools = Sequence[Mapping[str, Any]]
"""OpenAI schemas."""
Read = tuple[list[ToolCall], int]
"""Calls, and the place in the text after them."""

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_IN_CALL = "the call"
_PARAMETER = re.compile(r"\s*<parameter=([^>\n]*)>\n?(.*?)\n?</parameter>(?=\s*(?:<parameter=|</function>))", re.DOTALL)
_FUNCTION = re.compile(r"<function=([^>\n]*)>")
_FUNCTION_END = re.compile(r"\s*</function>")
_NAMED_ARGUMENTS = re.compile(r"\s*([^\s\[\]{}]*)(?:\[CALL_ID\][^\[\]{}]*)?\[ARGS\]")
_PYTHON_CONSTANTS = MappingProxyType({"True": True, "False": False, "None": None})


class ToolFormat(StrEnum):
    """How a model writes a tool call."""

    HERMES = "hermes"
    """`<tool_call>{"name": …, "arguments": {…}}</tool_call>`: Qwen2.5, Qwen3, Hermes."""
    QWEN_XML = "qwen_xml"
    """`<tool_call><function=…><parameter=…>…</parameter></function></tool_call>`: Qwen3-Coder, Qwen3.5 and later."""
    LLAMA3_JSON = "llama3_json"
    """The message is `{"name": …, "parameters": {…}}`, maybe behind `<|python_tag|>`: Llama 3.1 to 3.3."""
    MISTRAL = "mistral"
    """`[TOOL_CALLS][{"name": …, "arguments": {…}}]`, or `[TOOL_CALLS]name[ARGS]{…}`: Mistral."""


@dataclass(frozen=True)
class Form:
    """How calls of a format are found, read and written."""

    tag: re.Pattern[str]
    """What begins a call; also a closing tag, which none may begin with."""
    read: Callable[[str, re.Match[str], Tools], Read]
    """Read the calls that begin at a match of `tag`; raises MalformedMessageError."""
    write: Callable[[Sequence[ToolCall]], str]
    """Write calls as the model would."""


def _read_hermes(text: str, tag: re.Match[str], _tools: Tools) -> Read:
    start = _opened(text, tag)
    try:
        value, end = read_json(text, start, _OPEN)
    except MalformedMessageError:
        _require_close(text, start)
        raise
    return [call_of(value, _OPEN)], _closed(text, end)


def _read_xml(text: str, tag: re.Match[str], tools: Tools) -> Read:
    start = _opened(text, tag)
    function = _FUNCTION.match(text, start)
    if function is None:
        _require_close(text, start)
        raise MalformedMessageError("A <tool_call> must hold <function=NAME>, its parameters and </function>.")
    properties = _properties(tools, function[1])
    arguments: dict[str, Any] = {}
    end = function.end()
    while parameter := _PARAMETER.match(text, end):
        arguments[parameter[1]] = _value(parameter[2], properties.get(parameter[1], {}))
        end = parameter.end()
    closing = _FUNCTION_END.match(text, end)
    if closing is None:
        _require_close(text, end)
        raise MalformedMessageError(
            "A <function=…> holds something else than <parameter=NAME>, the value and </parameter>, or is never closed "
            "with </function>."
        )
    return [ToolCall(function[1], arguments)], _closed(text, closing.end())


def _read_llama3(text: str, tag: re.Match[str], _tools: Tools) -> Read:
    value, end = read_json(text, tag.end(), _IN_CALL)
    call = call_of(value, _IN_CALL, arguments_key="parameters")
    if after_space(text, end) < len(text):
        raise MalformedMessageError("Text follows the call: a message is one call or text for the customer.")
    return [call], len(text)


def _read_mistral(text: str, tag: re.Match[str], _tools: Tools) -> Read:
    if named := _NAMED_ARGUMENTS.match(text, tag.end()):
        value, end = read_json(text, named.end(), "[ARGS]")
        return [call_of({"name": named[1], "arguments": value}, "[TOOL_CALLS]")], end
    value, end = read_json(text, tag.end(), "[TOOL_CALLS]")
    if not isinstance(value, list) or not value:
        raise MalformedMessageError("[TOOL_CALLS] must be followed by an array of calls, or by NAME[ARGS]{…}.")
    return [call_of(call, "[TOOL_CALLS]", ignored=("id",)) for call in value], end


def _write_hermes(calls: Sequence[ToolCall]) -> str:
    return "\n".join(f"{_OPEN}\n{_json(_plain(call))}\n{_CLOSE}" for call in calls)


def _write_xml(calls: Sequence[ToolCall]) -> str:
    return "\n".join(f"{_OPEN}\n<function={call.name}>\n{_parameters(call)}</function>\n{_CLOSE}" for call in calls)


def _write_llama3(calls: Sequence[ToolCall]) -> str:
    return "\n".join(_json({"name": call.name, "parameters": dict(call.arguments)}) for call in calls)


def _write_mistral(calls: Sequence[ToolCall]) -> str:
    return f"[TOOL_CALLS]{_json([_plain(call) for call in calls])}"


def _opened(text: str, tag: re.Match[str]) -> int:
    """Where the inside of a `<tool_call>` begins.

    Raises:
        MalformedMessageError: the tag is a closing one, or another follows at once.
    """
    if tag[0] == _CLOSE:
        raise MalformedMessageError("A </tool_call> stands without its <tool_call>.")
    start = after_space(text, tag.end())
    if text.startswith(_OPEN, start):
        raise MalformedMessageError("A <tool_call> is nested in another; close each with </tool_call> first.")
    return start


def _closed(text: str, end: int) -> int:
    """The place after the `</tool_call>` that must follow a call."""
    end = after_space(text, end)
    if not text.startswith(_CLOSE, end):
        _require_close(text, end)
        raise MalformedMessageError("The text in <tool_call> is not valid JSON: something follows the call's end.")
    return end + len(_CLOSE)


def _require_close(text: str, start: int) -> None:
    if text.find(_CLOSE, start) < 0:
        raise MalformedMessageError("A <tool_call> is never closed with </tool_call>.")


def _properties(tools: Tools, name: str) -> Mapping[str, Any]:
    """The arguments of a tool in its schema; none for an unknown tool."""
    functions = [tool["function"] for tool in tools if tool["function"]["name"] == name]
    found: Mapping[str, Any] = functions[0].get("parameters", {}).get("properties", {}) if functions else {}
    return found


def _value(text: str, schema: Mapping[str, Any]) -> Any:
    """What a parameter's text stands for: itself where a string is wanted, else JSON, or a constant of Python's."""
    if schema.get("type", "string") == "string":
        return text
    if text.strip() in _PYTHON_CONSTANTS:
        return _PYTHON_CONSTANTS[text.strip()]
    try:
        value, end = read_json(text, 0, _IN_CALL)
    except MalformedMessageError:
        return text
    return text if after_space(text, end) < len(text) else value


def _parameters(call: ToolCall) -> str:
    values = {key: value if isinstance(value, str) else _json(value) for key, value in call.arguments.items()}
    return "".join(f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in values.items())


def _plain(call: ToolCall) -> dict[str, Any]:
    return {"name": call.name, "arguments": dict(call.arguments)}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


_TOOL_CALL_TAG = re.compile(r"</?tool_call>")

FORMS: Mapping[ToolFormat, Form] = MappingProxyType(
    {
        ToolFormat.HERMES: Form(_TOOL_CALL_TAG, _read_hermes, _write_hermes),
        ToolFormat.QWEN_XML: Form(_TOOL_CALL_TAG, _read_xml, _write_xml),
        ToolFormat.LLAMA3_JSON: Form(re.compile(r"<\|python_tag\|>|\A\s*(?=\{)"), _read_llama3, _write_llama3),
        ToolFormat.MISTRAL: Form(re.compile(r"\[TOOL_CALLS\]"), _read_mistral, _write_mistral),
    }
)
"""Every format that is read."""
