"""Reading a large JSON file member by member: only one element and a piece of the file's text are held at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from tau_retail_env.errors import InvalidValueError

PIECE = 1 << 20
"""Characters that are read at a time; an element may be longer."""
LONGEST_TOKEN = 16
"""Characters within which a piece's end can make a token unreadable that is no string, such as an escaped letter."""
SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


def members(path: Path, streamed: str) -> Iterator[tuple[str, Any]]:
    """The members of a file's object in their order, those of one array one by one.

    Args:
        path: the file. A file that holds an array is read as an object whose only member is that array.
        streamed: the member whose array's elements are yielded one by one, each with this name.

    Raises:
        InvalidValueError: the file is cut off, or is no JSON object or array; the message says where.
    """
    try:
        with path.open(encoding="utf-8") as file:
            text = _Text(file)
            try:
                yield from _whole(text, streamed, path)
            except (json.JSONDecodeError, RecursionError) as error:
                place = text.before + (error.pos if isinstance(error, json.JSONDecodeError) else text.place)
                cut = " (the file was cut off)" if text.is_at_end() else ""
                raise InvalidValueError(f"{path} is not whole JSON: character {place:,}{cut}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidValueError(f"{path} cannot be read: {error}") from None


class _Text:
    """A file's text of which only a piece is held; what was read of it is forgotten.

    Args:
        file: the open file.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._held = ""
        self._has_more = True
        self.place = 0
        """The next character in what is held."""
        self.before = 0
        """Characters of the file that were forgotten."""

    def peek(self) -> str:
        """The next character that is no space, empty at the file's end."""
        while True:
            found = SPACE.match(self._held, self.place)
            self.place = found.end() if found else self.place
            if self.place < len(self._held) or not self._read():
                return self._held[self.place : self.place + 1]

    def take(self, signs: str) -> str:
        """The next character that is no space, which must be one of some.

        Raises:
            JSONDecodeError: it is another, or the file ends.
        """
        found = self.peek()
        if not found or found not in signs:
            raise json.JSONDecodeError(f"expected {' or '.join(signs)}", self._held, self.place)
        self.place += 1
        return found

    def value(self) -> Any:
        """The next value.

        Raises:
            JSONDecodeError: there is none.
        """
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._held, self.place)
            except json.JSONDecodeError as error:
                offset = error.pos - self.place
                if not self._may_be_cut(error) or not self._read():
                    raise json.JSONDecodeError(error.msg, self._held, self.place + offset) from None
                continue
            # Of a number a piece may end after its first digits, its point or its e.
            if self._held[end : end + 1] in ("", ".", "e", "E") and self._read():
                continue
            self.place = end
            return value

    def is_at_end(self) -> bool:
        """Whether nothing is left to read behind what is held, which is no whole value."""
        return not self._has_more or not self._file.read(1)

    def _may_be_cut(self, error: json.JSONDecodeError) -> bool:
        """Whether a value may only seem broken for want of the next piece."""
        return error.msg.startswith("Unterminated string") or error.pos >= len(self._held) - LONGEST_TOKEN

    def _read(self) -> bool:
        """Forget what was read and hold as much again as is held, so that a long value is tried a few times only."""
        more = self._file.read(max(PIECE, len(self._held) - self.place))
        self._has_more = bool(more)
        self.before += self.place
        self._held = self._held[self.place :] + more
        self.place = 0
        return self._has_more


def _whole(text: _Text, streamed: str, path: Path) -> Iterator[tuple[str, Any]]:
    start = text.peek()
    if start == "[":
        yield from ((streamed, element) for element in _elements(text))
    elif start == "{":
        yield from _members(text, streamed)
    else:
        raise InvalidValueError(f"{path} holds neither a JSON object nor an array")
    if text.peek():
        raise InvalidValueError(f"{path} holds more than one JSON value: character {text.before + text.place:,}")


def _members(text: _Text, streamed: str) -> Iterator[tuple[str, Any]]:
    text.take("{")
    if text.peek() == "}":
        text.take("}")
        return
    while True:
        name = text.value()
        text.take(":")
        if name == streamed and text.peek() == "[":
            yield from ((name, element) for element in _elements(text))
        else:
            yield name, text.value()
        if text.take(",}") == "}":
            return


def _elements(text: _Text) -> Iterator[Any]:
    text.take("[")
    if text.peek() == "]":
        text.take("]")
        return
    while True:
        yield text.value()
        if text.take(",]") == "]":
            return
