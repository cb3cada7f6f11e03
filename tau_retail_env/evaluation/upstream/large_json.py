"""Reading a large JSON file member by member: only its text and one element are held at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tau_retail_env.errors import InvalidValueError

SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()
_NOTHING = object()


def members(path: Path, streamed: str) -> Iterator[tuple[str, Any]]:
    """The members of a file's object in their order, those of one array one by one.

    Args:
        path: the file. A file that holds an array is read as an object whose only member is that array.
        streamed: the member whose array's elements are yielded one by one, each with this name.

    Raises:
        InvalidValueError: the file is cut off, or is no JSON object or array; the message tells where.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidValueError(f"{path} cannot be read: {error}") from None
    try:
        place = _after(text, 0)
        if text[place : place + 1] == "[":
            for element, _ in _elements(text, place):
                if element is not _NOTHING:
                    yield streamed, element
        elif text[place : place + 1] == "{":
            yield from _members(text, place, streamed)
        else:
            raise InvalidValueError(f"{path} holds neither a JSON object nor an array")
    except (json.JSONDecodeError, IndexError, RecursionError) as error:
        where = error.pos if isinstance(error, json.JSONDecodeError) else len(text)
        cut = " (the file was cut off)" if where >= len(text.rstrip()) - 1 else ""
        raise InvalidValueError(f"{path} is not whole JSON: character {where:,} of {len(text):,}{cut}") from None


def _members(text: str, place: int, streamed: str) -> Iterator[tuple[str, Any]]:
    place = _after(text, place + 1)
    while text[place] != "}":
        name, place = _DECODER.raw_decode(text, place)
        place = _expect(text, place, ":")
        if name == streamed and text[place] == "[":
            for element, end in _elements(text, place):
                place = end
                if element is not _NOTHING:
                    yield name, element
        else:
            value, place = _DECODER.raw_decode(text, place)
            yield name, value
        place = _next(text, place, "}")


def _elements(text: str, place: int) -> Iterator[tuple[Any, int]]:
    """Each element and the place behind it; the last is the array's end, with nothing."""
    place = _after(text, place + 1)
    while text[place] != "]":
        element, place = _DECODER.raw_decode(text, place)
        place = _next(text, place, "]")
        yield element, place
    yield _NOTHING, place + 1


def _next(text: str, place: int, end: str) -> int:
    """The place of the next element, or of the end."""
    place = _after(text, place)
    if text[place] == ",":
        return _after(text, place + 1)
    if text[place] != end:
        raise json.JSONDecodeError(f"expected , or {end}", text, place)
    return place


def _expect(text: str, place: int, sign: str) -> int:
    place = _after(text, place)
    if text[place] != sign:
        raise json.JSONDecodeError(f"expected {sign}", text, place)
    return _after(text, place + 1)


def _after(text: str, place: int) -> int:
    found = SPACE.match(text, place)
    return found.end() if found else place
