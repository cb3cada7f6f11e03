"""One tool call as JSON: where it ends in a text, what it must hold, and the error for one that cannot be read."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from tau_retail_env.errors import TauRetailError
from tau_retail_env.messages import ToolCall

MAX_JSON_DEPTH = 64

_SPACE = re.compile(r"\s*")


class MalformedMessageError(TauRetailError):
    """A model's text that cannot be read as a message; nothing of it may be executed."""

    def __init__(self, reason: str) -> None:
        """Keep the reason, one sentence that the agent can be shown."""
        super().__init__(reason)
        self.reason = reason


def after_space(text: str, start: int) -> int:
    """The first place from `start` on that is no white space."""
    found = _SPACE.match(text, start)
    return start if found is None else found.end()


def read_json(text: str, start: int, where: str) -> tuple[Any, int]:
    """Read the JSON value that begins at a place; what stands inside its strings is never looked at.

    Args:
        text: the model's text.
        start: where the value begins, white space aside.
        where: what holds it, for the error's text, such as "<tool_call>".

    Returns:
        The value, and the place after it.

    Raises:
        MalformedMessageError: it is not valid JSON, nested deeper than MAX_JSON_DEPTH, or holds a lone surrogate.
    """
    start = after_space(text, start)
    try:
        value, end = _DECODER.raw_decode(text, start)
    except RecursionError:
        raise MalformedMessageError(f"The JSON in {where} is nested too deeply.") from None
    except ValueError as error:
        raise MalformedMessageError(f"The text in {where} is not valid JSON: {error}") from None
    _check_depth(value, where)
    if text.find("\\u", start, end) >= 0:
        check_unicode(json.dumps(value, ensure_ascii=False))
    return value, end


def call_of(value: Any, where: str, *, arguments_key: str = "arguments", ignored: tuple[str, ...] = ()) -> ToolCall:
    """Read a call out of its JSON value. An empty name passes: upstream has an answer for it.

    Args:
        value: the JSON value.
        where: what holds it, for the error's text.
        arguments_key: under which key the arguments stand.
        ignored: keys beside the name and the arguments that may be there.

    Raises:
        MalformedMessageError: it is no object, its name no text, its arguments no object, or it has another key.
    """
    if not isinstance(value, dict):
        raise MalformedMessageError(f"The JSON in {where} must be an object, not {_kind(value)}.")
    name = value.get("name")
    if not isinstance(name, str):
        found = "is missing" if "name" not in value else f"is {_kind(name)}"
        raise MalformedMessageError(f'The "name" in {where} {found}; it must be the name of a tool.')
    unknown = [key for key in value if key not in ("name", arguments_key, *ignored)]
    if unknown:
        raise MalformedMessageError(
            f"The JSON in {where} has the unknown key {json.dumps(unknown[0][:40])}; a call is written "
            f'{{"name": {json.dumps(name[:80])}, "{arguments_key}": {{…}}}}, with every argument inside '
            f'"{arguments_key}".'
        )
    arguments = value.get(arguments_key, {})
    if not isinstance(arguments, dict):
        raise MalformedMessageError(f'The "{arguments_key}" in {where} must be an object, not {_kind(arguments)}.')
    return ToolCall(name=name, arguments=arguments)


def check_unicode(text: str) -> None:
    """Refuse a text that cannot be written as UTF-8.

    Raises:
        MalformedMessageError: it holds a lone surrogate.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise MalformedMessageError(
            f"The message is not valid UTF-8: it holds the lone surrogate U+{ord(text[error.start]):04X}."
        ) from None


def _check_depth(value: Any, where: str) -> None:
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
    raise MalformedMessageError(f"The JSON in {where} is nested deeper than {MAX_JSON_DEPTH} levels.")


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


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite_float)
