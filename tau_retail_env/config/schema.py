"""Read a composed configuration into frozen dataclasses: unknown keys, wrong types, impossible values are errors."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from tau_retail_env.errors import InvalidValueError

Block = TypeVar("Block")


def key(
    default: Any = dataclasses.MISSING,
    *,
    minimum: float | None = None,
    above: float | None = None,
    maximum: float | None = None,
    filled: bool = False,
    only: Sequence[Any] | None = None,
    instead: str | None = None,
) -> Any:
    """Declare one key of a block.

    Args:
        default: value where the key is left out; a callable makes one; without it the key is required.
        minimum: smallest number allowed.
        above: number that the value must exceed.
        maximum: largest number allowed.
        filled: whether a text must not be empty.
        only: the values that can be honoured.
        instead: what to do when another value was given.

    Returns:
        A dataclass field.
    """
    numbers = {"minimum": minimum, "above": above, "maximum": maximum}
    limits = {**numbers, "filled": filled, "only": only, "instead": instead}
    if default is dataclasses.MISSING:
        return dataclasses.field(metadata=limits)
    if callable(default):
        return dataclasses.field(default_factory=default, metadata=limits)
    return dataclasses.field(default=default, metadata=limits)


class Refusing:
    """A block that knows keys which it cannot honour."""

    refused: ClassVar[Mapping[str, str]] = {}
    """ROLL's key names that mean nothing to the engine, with what to use instead."""


def read(block: type[Block], values: Any) -> Block:
    """Build a block from a mapping.

    Args:
        block: a dataclass whose fields are declared with `key`.
        values: the mapping as composed from YAML.

    Returns:
        The block, every field checked.

    Raises:
        InvalidValueError: lists everything that is wrong, each by its full path.
    """
    problems: list[str] = []
    built = _block(block, values, "", problems)
    raise_if(problems)
    return built


def raise_if(problems: Sequence[str]) -> None:
    """Raise one error for a list of problems, or return where there is none.

    Raises:
        InvalidValueError: one line for one problem, a list for several.
    """
    if len(problems) == 1:
        raise InvalidValueError(problems[0])
    if problems:
        lines = "".join(f"\n  - {problem}" for problem in problems)
        raise InvalidValueError(f"{len(problems)} keys of the configuration cannot be used:{lines}")


def nearest(name: str, known: Sequence[str]) -> str:
    """A hint that names the nearest known name, or nothing."""
    near = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def _block(block: type[Any], values: Any, path: str, problems: list[str]) -> Any:
    if not isinstance(values, Mapping):
        problems.append(f"{path}: found {values!r}, expected a block of keys ({', '.join(_names(block))})")
        return None
    fields = {field.name: field for field in dataclasses.fields(block)}
    hints = typing.get_type_hints(block)
    before = len(problems)
    for name in values:
        if name not in fields:
            problems.append(_unexpected(block, str(name), _join(path, name)))
    built: dict[str, Any] = {}
    for name, field in fields.items():
        if name in values:
            built[name] = _value(hints[name], values[name], _join(path, name), problems)
            _limits(field, built[name], _join(path, name), problems)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            problems.append(f"{_join(path, name)}: missing. {_expectation(field)}".rstrip(". ") + ".")
    return block(**built) if len(problems) == before else None


def _names(block: type[Any]) -> list[str]:
    return [field.name for field in dataclasses.fields(block)]


def _join(path: str, name: object) -> str:
    return f"{path}.{name}" if path else str(name)


def _unexpected(block: type[Any], name: str, path: str) -> str:
    refused = getattr(block, "refused", {})
    if name in refused:
        return f"{path}: this engine cannot honour it. {refused[name]}"
    known = _names(block)
    return f"{path}: unknown key.{nearest(name, [*known, *refused]) or ' Known here: ' + ', '.join(known) + '.'}"


def _expectation(field: dataclasses.Field[Any]) -> str:
    only, instead = field.metadata.get("only"), field.metadata.get("instead")
    allowed = f"Expected {' or '.join(_yaml(value) for value in only)}." if only else ""
    return f"{allowed} {instead or ''}".strip()


def _limits(field: dataclasses.Field[Any], value: Any, path: str, problems: list[str]) -> None:
    limits = field.metadata
    only = limits.get("only")
    if only is not None and value not in only:
        problems.append(f"{path}: {_yaml(value)} cannot be honoured. {_expectation(field)}")
    if limits.get("filled") and isinstance(value, str) and not value.strip():
        problems.append(f"{path}: empty, expected a name")
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return
    if limits.get("minimum") is not None and value < limits["minimum"]:
        problems.append(f"{path}: found {value}, expected {limits['minimum']} or more")
    if limits.get("above") is not None and value <= limits["above"]:
        problems.append(f"{path}: found {value}, expected more than {limits['above']}")
    if limits.get("maximum") is not None and value > limits["maximum"]:
        problems.append(f"{path}: found {value}, expected {limits['maximum']} or less")


def _yaml(value: Any) -> str:
    return {None: "null", True: "true", False: "false"}.get(value, str(value)) if _plain(value) else str(value)


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, bool)


def _value(hint: Any, value: Any, path: str, problems: list[str]) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _optional(arguments, value, path, problems)
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint):
        return _block(typing.cast("type[Any]", hint), value, path, problems)
    if origin is tuple:
        return _items(arguments[0], value, path, problems)
    if origin is Mapping or hint is Mapping:
        return _mapping(arguments, value, path, problems)
    return _scalar(hint, value, path, problems)


def _optional(hints: Sequence[Any], value: Any, path: str, problems: list[str]) -> Any:
    if value is None and type(None) in hints:
        return None
    others = [hint for hint in hints if hint is not type(None)]
    for hint in others[:-1]:
        attempt: list[str] = []
        found = _value(hint, value, path, attempt)
        if not attempt:
            return found
    return _value(others[-1], value, path, problems)


def _items(hint: Any, value: Any, path: str, problems: list[str]) -> tuple[Any, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        problems.append(f"{path}: found {value!r}, expected a list")
        return ()
    return tuple(_value(hint, item, f"{path}[{place}]", problems) for place, item in enumerate(value))


def _mapping(hints: Sequence[Any], value: Any, path: str, problems: list[str]) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        problems.append(f"{path}: found {value!r}, expected a block of keys")
        return {}
    inner = hints[1] if hints else Any
    return {str(name): _value(inner, item, _join(path, name), problems) for name, item in value.items()}


def _scalar(hint: Any, value: Any, path: str, problems: list[str]) -> Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, hint) and (hint is bool or not isinstance(value, bool)):
        return value
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    problems.append(f"{path}: found {value!r}, expected {words.get(hint, hint)}")
    return None
