"""Read a block of keys from YAML's values; pydantic finds what is wrong, here it becomes sentences with full paths."""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from tau_retail_env.blocks.block import Block, Instead
from tau_retail_env.blocks.kinds import shown
from tau_retail_env.errors import InvalidValueError, deeper, nearest

Read = TypeVar("Read", bound=Block)
Unread = Callable[[str], Mapping[str, str]]
"""For the path of a block: names that are known elsewhere and not read here, each with the sentence that says so."""

TYPES = {
    "bool_type": "true or false",
    "finite_number": "a finite number",
    "float_type": "a number",
    "int_type": "a whole number",
    "string_type": "a text",
    "string_too_short": "a text that is not empty",
    "tuple_type": "a list",
    **dict.fromkeys(("dict_type", "mapping_type", "model_type"), "a block of keys"),
}
"""What pydantic's errors expect, in words."""
LIMITS = {
    "greater_than": ("gt", "more than {:g}"),
    "greater_than_equal": ("ge", "{:g} or more"),
    "less_than": ("lt", "less than {:g}"),
    "less_than_equal": ("le", "{:g} or less"),
}
"""The same for bounds: where pydantic keeps the number, and the words around it."""


def read(block: type[Read], values: Any, *, path: str = "", unread: Unread | None = None) -> Read:
    """Build a block from a mapping.

    Args:
        block: the block's class.
        values: the mapping as composed from YAML.
        path: where the block stands, such as "user"; empty at the top.
        unread: what to answer to a key that the block does not have and that means something elsewhere.

    Returns:
        The block, every field checked.

    Raises:
        InvalidValueError: lists everything that is wrong, each by its full path.
    """
    found, problems = attempt(block, values, path=path, unread=unread)
    raise_if(problems)
    assert found is not None, "without a problem there is a block"
    return found


def attempt(
    block: type[Read], values: Any, *, path: str = "", unread: Unread | None = None
) -> tuple[Read | None, list[str]]:
    """Build a block as `read` does, but return the problems: the block, or None with at least one of them."""
    try:
        return block.model_validate(values), []
    except ValidationError as error:
        grouped: dict[str, list[Mapping[str, Any]]] = {}
        for entry in error.errors(include_url=False):
            names = _names(entry, values)
            grouped.setdefault(_joined(path, names), []).append({**entry, "names": names})
        return None, [_sentence(block, place, entries, unread, values) for place, entries in grouped.items()]


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


def _names(entry: Mapping[str, Any], values: Any) -> tuple[str | int, ...]:
    """The path of an error, without the labels that pydantic puts in for the members of a union."""
    names: list[str | int] = []
    here = values
    for name in entry["loc"]:
        is_last_of_missing = entry["type"] == "missing" and len(names) + 1 == len(entry["loc"])
        if isinstance(here, Mapping) and (name in here or is_last_of_missing):
            here = here.get(name)
        elif isinstance(here, Sequence) and isinstance(name, int):
            here = here[name]
        else:
            continue
        names.append(name)
    return tuple(names)


def _joined(path: str, names: Sequence[str | int]) -> str:
    for name in names:
        path += f"[{name}]" if isinstance(name, int) and path else f".{name}" if path else str(name)
    return path


def _sentence(
    block: type[Block], path: str, entries: Sequence[Mapping[str, Any]], unread: Unread | None, values: Any
) -> str:
    """What is wrong at one path; of a union pydantic gives one error for each member."""
    entry = entries[0]
    names = entry["names"]
    if entry["type"] == "extra_forbidden":
        return _unexpected(_declared(block, names[:-1])[0], str(names[-1]), path, unread, values)
    holder, field = _declared(block, names)
    instead = " ".join(one.words for one in field.metadata if isinstance(one, Instead)) if field else ""
    choices = " or ".join(_yaml(value) for value in _choices(field.annotation)) if field else ""
    if entry["type"] == "missing":
        return " ".join(filter(None, (f"{path}: missing.", f"Expected {choices}." if choices else "", instead)))
    if entry["type"] in ("literal_error", "enum", "none_required"):
        return f"{path}: {_yaml(entry['input'])} cannot be honoured. Expected {choices}. {instead}".rstrip()
    if entry["type"] == "value_error":
        return f"{path}: {entry['ctx']['error']}"
    expected = " or ".join(dict.fromkeys(_expected(one) for one in entries))
    if entry["type"] == "model_type":
        expected += f" ({', '.join(holder.model_fields)})"
    message = f"{path or 'the configuration'}: found {shown(entry['input'])}, expected {expected}"
    return f"{message}. {instead}" if instead else message


def _unexpected(block: type[Block], name: str, path: str, unread: Unread | None, values: Any) -> str:
    elsewhere = unread(path.removesuffix(name).rstrip(".")) if unread else {}
    if name in elsewhere:
        return f"{path}: {elsewhere[name]}"
    known = list(block.model_fields)
    hint = nearest(name, [*known, *elsewhere]) or (deeper(name, values) if path == name else "")
    hint = hint or f" Known here: {', '.join(known)}."
    return f"{path}: unknown key.{hint}"


def _expected(entry: Mapping[str, Any]) -> str:
    if entry["type"] in LIMITS:
        name, words = LIMITS[entry["type"]]
        return words.format(entry["ctx"][name])
    return TYPES.get(entry["type"]) or str(entry["msg"])


def _declared(block: type[Block], names: Sequence[str | int]) -> tuple[type[Block], FieldInfo | None]:
    """The innermost block on a path, and the field at its end; a tag or a place in a list has no field of its own."""
    field = None
    for name in names:
        field = block.model_fields.get(str(name), field)
        if field is not None:
            block = next(_blocks(field.annotation), block)
    return block, field


def _blocks(annotation: Any) -> Iterator[type[Block]]:
    """The block in a type such as `Block | None` or `Mapping[str, Block]`."""
    if isinstance(annotation, type) and issubclass(annotation, Block):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from _blocks(inner)


def _choices(annotation: Any) -> Iterator[Any]:
    """The values that a closed set or a type such as `Literal["a", "b"] | None` allows; nothing for other types."""
    if annotation in (None, type(None)):
        yield None
    if typing.get_origin(annotation) is typing.Literal:
        yield from typing.get_args(annotation)
        return
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        yield from (one.value for one in annotation)
        return
    members = [one for one in typing.get_args(annotation) if one is not type(None)]
    values = [value for one in members for value in _choices(one)]
    if values and len(members) < len(typing.get_args(annotation)):
        yield None
    yield from values


def _yaml(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
