"""What a typed line means: a tool call with its arguments, and what the tab key can make of its beginning."""

from __future__ import annotations

import ast
import json
import re
import shlex
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from tau_retail_env.errors import InvalidValueError, unknown
from tau_retail_env.messages import ToolCall

IDS: Mapping[str, str] = MappingProxyType(
    {
        "order_id": r"#W\d+",
        "user_id": r"\b[a-z]+_[a-z]+_\d{4}\b",
        "email": r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+",
        "zip": r"\b\d{5}\b",
        "payment_method_id": r"\b(?:credit_card|gift_card|paypal)_\d+\b",
        "item_ids": r"\b\d{10}\b",
        "new_item_ids": r"\b\d{10}\b",
        "product_id": r"\b\d{10}\b",
    }
)
"""What the values of an argument look like in the conversation."""

Schemas = Mapping[str, Mapping[str, Any]]
"""The parameters of each tool (a JSON schema), by the tool's name."""


def read_call(line: str, schemas: Schemas, commands: Iterable[str] = ()) -> ToolCall:
    """Read a typed tool call: `name key=value …`, `name {json}` or `name(key="value", …)`.

    Values take the type that the tool's schema gives them, so that a zip stays text; lists are `a,b` or JSON.

    Args:
        line: the line without its leading slash.
        schemas: the tools' parameters by name.
        commands: what else could have been meant.

    Raises:
        InvalidValueError: unknown tool, or arguments that cannot be read.
    """
    name, rest = _parts(line)
    if name not in schemas:
        raise unknown("tool or command", name, [*schemas, *commands])
    if rest.startswith("{"):
        return ToolCall(name, _json_object(rest))
    if rest.startswith("("):
        return ToolCall(name, _of_python(rest))
    try:
        words = shlex.split(rest)
    except ValueError as error:
        raise InvalidValueError(f"Cannot read {rest!r}: {error}. Put values with spaces in double quotes.") from error
    arguments = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise InvalidValueError(f"Cannot read {word!r}: expected key=value. Put values with spaces in quotes.")
        arguments[key] = _typed(value, schemas[name].get("properties", {}).get(key, {}))
    return ToolCall(name, arguments)


def begins_with_tool(line: str, schemas: Schemas) -> bool:
    """Whether a line begins with a tool's name: a call whose slash was left out.

    Args:
        line: as typed.
        schemas: the tools' parameters by name.
    """
    return _parts(line)[0] in schemas


def _parts(line: str) -> tuple[str, str]:
    """The name at a line's beginning, and the arguments as they are typed."""
    name = re.split(r"[\s({]", line.strip(), maxsplit=1)[0]
    return name, line.strip().removeprefix(name).strip()


def _of_python(text: str) -> dict[str, Any]:
    """Arguments as the screen shows those of an agent's calls."""
    try:
        call = ast.parse(f"tool{text}", mode="eval").body
        if isinstance(call, ast.Call) and not call.args:
            return {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        pass
    raise InvalidValueError(f'Cannot read {text[:80]!r}: expected (key="value", …), and nothing behind it')


def _json_object(text: str) -> dict[str, Any]:
    try:
        arguments = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidValueError(f"The arguments are not valid JSON: {error}") from error
    if not isinstance(arguments, dict):
        raise InvalidValueError(f"The arguments must be a JSON object, found {type(arguments).__name__}")
    return arguments


def _typed(value: str, schema: Mapping[str, Any]) -> Any:
    kind = schema.get("type")
    if kind == "array":
        inner = value.removeprefix("[").removesuffix("]")
        return [_typed(part.strip().strip("\"'"), schema.get("items", {})) for part in inner.split(",") if part.strip()]
    if kind in ("number", "integer", "boolean", "object"):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def completions(line: str, schemas: Schemas, commands: Iterable[str] = (), shown: str = "") -> list[str]:
    """The lines that the tab key can make of the beginning of one.

    Args:
        line: what is typed so far.
        schemas: the tools' parameters by name.
        commands: what else can stand after the slash.
        shown: the conversation so far, from which ids are taken.

    Returns:
        Whole lines: with a tool or command completed, an argument's name that is not used yet, or a value (of those
        that the schema lists, or an id that was shown).
    """
    name, space, rest = line.partition(" ")
    if not space:
        words = [f"/{word} " for word in (*schemas, *commands)]
        return [word for word in words if line.startswith("/") and word.startswith(line)]
    properties = schemas.get(name.removeprefix("/"), {}).get("properties", {})
    if not line.startswith("/") or rest.lstrip().startswith("{"):
        return []
    value = re.fullmatch(r"(.* )(\w+)=(['\"][^'\"]*|[^'\" ]*)", line)
    if value and value[2] in properties:
        start, key, typed = value.groups()
        return [f"{start}{key}={end}" for end in _values(key, typed, properties[key], shown)]
    start, word = line[: line.rindex(" ") + 1], line[line.rindex(" ") + 1 :]
    unused = [key for key in properties if not re.search(rf" {key}=", line)]
    return [f"{start}{key}=" for key in unused if key.startswith(word)]


def _values(key: str, typed: str, schema: Mapping[str, Any], shown: str) -> list[str]:
    """What can follow `key=` instead of the part that is typed; of a list the last element is completed."""
    is_list = schema.get("type") == "array"
    before, last = typed[: typed.rfind(",") + 1] if is_list else "", typed.rpartition(",")[2] if is_list else typed
    known = schema.get("enum") or dict.fromkeys(re.findall(IDS[key], shown) if key in IDS else ())
    fitting = [f"{value}" for value in known if f"{value}".startswith(last.lstrip("'\""))]
    return [before + (f"'{value}'" if " " in value else value) + ("" if is_list else " ") for value in fitting]


def usage(schema: Mapping[str, Any]) -> str:
    """A tool's arguments as they are typed; those that may be left out in brackets."""
    required = schema.get("required", [])
    names = [f"{name}=…" if name in required else f"[{name}=…]" for name in schema.get("properties", {})]
    return " ".join(names)
