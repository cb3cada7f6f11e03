"""Whether the contents of a JSON file have the types that a dataclass declares; nothing is converted."""

from __future__ import annotations

import functools
import math
import types
import typing
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.urls import without_secrets

NO_OTHERS: Mapping[str, Any] = MappingProxyType({})
WORDS: Mapping[Any, str] = MappingProxyType(
    {bool: "true or false", int: "a whole number", float: "a finite number", str: "a text", types.NoneType: "null"}
)
SHOWN = 80
"""Characters of a value that an error shows at most."""


def check_fields(one: Any, where: str, others: Mapping[str, Any] = NO_OTHERS) -> None:
    """Refuse an object of a dataclass whose fields are not of their declared kinds.

    Args:
        one: the object.
        where: the file, and the line where it has lines, for the error.
        others: by field, what is expected in place of the declared kind.

    Raises:
        InvalidValueError: names file, field, what was found and what was expected.
    """
    declared: Any = type(one)
    for name, kind in _fields(declared).items():
        check_kind(getattr(one, name), others.get(name, kind), f"{where}: {name}")


def check_kind(value: Any, kind: Any, what: str) -> None:
    """Refuse a value that is not of a kind; numbers must be finite, true and false are none.

    Args:
        value: what was found.
        kind: what is expected, such as `Mapping[str, float]`.
        what: names the value, for the error.

    Raises:
        InvalidValueError: names it, what was found and what was expected.
    """
    if not _is(value, kind):
        raise InvalidValueError(f"{what}: found {shown(value)}, expected {_words(kind)}")


def shown(value: Any) -> str:
    """A value for an error message, cut where it is long, without the secrets of URLs in it."""
    text = without_secrets(repr(value))
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}… ({len(text):,} characters)"


@functools.cache
def _fields(cls: type[Any]) -> Mapping[str, Any]:
    return typing.get_type_hints(cls)


def _is(value: Any, kind: Any) -> bool:
    inner = typing.get_args(kind)
    if kind is Any:
        return True
    if kind is float:
        return type(value) in (int, float) and math.isfinite(value)
    if kind in WORDS:
        return type(value) is kind
    if isinstance(kind, types.UnionType):
        return any(_is(value, one) for one in inner)
    if typing.get_origin(kind) is Mapping:
        return isinstance(value, Mapping) and all(_is(name, inner[0]) and _is(value[name], inner[1]) for name in value)
    if typing.get_origin(kind) in (tuple, list):
        return isinstance(value, typing.get_origin(kind)) and all(_is(one, inner[0]) for one in value)
    return isinstance(value, kind)


def _words(kind: Any) -> str:
    inner = typing.get_args(kind)
    if kind in WORDS:
        return WORDS[kind]
    if isinstance(kind, types.UnionType):
        return " or ".join(map(_words, inner))
    if typing.get_origin(kind) is Mapping:
        return "an object" if inner[1] is Any else f"an object whose values are each {_words(inner[1])}"
    if typing.get_origin(kind) in (tuple, list):
        return f"a list of which each is {_words(inner[0])}"
    return " or ".join(kind) if issubclass(kind, StrEnum) else str(kind.__name__)
