"""Record and replay: the answers of a customer's model in a file, found again by the request."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tau_retail_env.errors import UserSetupError

HEADER = {"cassette": "tau-retail customers", "version": 1}

JsonObject = dict[str, Any]


def request_key(request: Mapping[str, Any]) -> str:
    """The digest by which a request is found again: equal for requests that are equal as JSON."""
    text = json.dumps(request, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


class Cassette:
    """Requests and their answers, one JSON object a line under a line that names the format's version.

    Lines are only ever appended, under a lock: any number of threads and processes share one file, and the first
    answer to a request stands. A last line that a dying process left half written is passed over, and cut off by
    the next `add`.

    Args:
        path: the file; it and its folder are made before the first answer is asked for.

    Raises:
        UserSetupError: the file is no cassette of this version, or cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._alone = threading.Lock()
        self._answers: dict[str, JsonObject] = {}
        self._read_bytes = 0
        self._lines = 0
        with self._alone:
            self._read_on()

    def __len__(self) -> int:
        return len(self._answers)

    def find(self, request: Mapping[str, Any]) -> JsonObject | None:
        """The answer to an equal request, or None."""
        key = request_key(request)
        with self._alone:
            if key not in self._answers:
                self._read_on()
            return self._answers.get(key)

    def check_writable(self) -> None:
        """Make sure, before an answer is paid for, that it can be recorded; makes the file where there is none.

        Raises:
            UserSetupError: the file cannot be written.
        """
        with self._alone, self._opened_to_write():
            return

    def add(self, request: Mapping[str, Any], answer: Mapping[str, Any]) -> JsonObject:
        """Record an answer.

        Args:
            request: what was asked, as JSON; neither key nor header belongs into it.
            answer: what came back, as JSON.

        Returns:
            The answer that stands: the one recorded before, if another process was faster.

        Raises:
            UserSetupError: the file cannot be written.
        """
        key = request_key(request)
        with self._alone:
            with self._opened_to_write() as descriptor:
                self._append(descriptor, key, request, answer)
            return self._answers[key]

    @contextmanager
    def _opened_to_write(self) -> Iterator[int]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with _locked(self.path, os.O_RDWR | os.O_CREAT, fcntl.LOCK_EX) as descriptor:
                yield descriptor
        except OSError as error:
            raise UserSetupError(f"user.cassette {self.path} cannot be written: {error.strerror}") from None

    def _append(self, descriptor: int, key: str, request: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        self._take_in(descriptor)
        if key in self._answers:
            return
        os.ftruncate(descriptor, self._read_bytes)
        lines = [] if self._read_bytes else [HEADER]
        entry = {"key": key, "request": dict(request), "answer": dict(answer)}
        text = "".join(json.dumps(line) + "\n" for line in [*lines, entry]).encode()
        written = 0
        while written < len(text):
            written += os.pwrite(descriptor, text[written:], self._read_bytes + written)
        self._take_in(descriptor)

    def _read_on(self) -> None:
        """Take in what others have appended since."""
        try:
            with _locked(self.path, os.O_RDONLY, fcntl.LOCK_SH) as descriptor:
                self._take_in(descriptor)
        except FileNotFoundError:
            return
        except OSError as error:
            raise UserSetupError(f"user.cassette {self.path} cannot be read: {error.strerror}") from None

    def _take_in(self, descriptor: int) -> None:
        size = os.fstat(descriptor).st_size
        if size == self._read_bytes:
            return
        if size < self._read_bytes:
            raise UserSetupError(f"user.cassette {self.path} was shortened or removed while in use: begin again")
        text = os.pread(descriptor, size - self._read_bytes, self._read_bytes)
        while len(text) < size - self._read_bytes:
            more = os.pread(descriptor, size - self._read_bytes - len(text), self._read_bytes + len(text))
            if not more:
                break
            text += more
        *whole, half_written = text.split(b"\n")
        for line in whole:
            self._take_in_line(line)
            self._read_bytes += len(line) + 1
        if not self._lines and not json.dumps(HEADER).encode().startswith(half_written):
            raise self._foreign()

    def _take_in_line(self, line: bytes) -> None:
        self._lines += 1
        try:
            read = json.loads(line)
        except (ValueError, RecursionError):
            read = None
        if self._lines == 1:
            if read != HEADER:
                raise self._foreign()
            return
        if not isinstance(read, dict) or not isinstance(read.get("answer"), dict) or "key" not in read:
            raise UserSetupError(
                f"user.cassette {self.path}: line {self._lines} is no entry; remove that line, or name another file"
            )
        self._answers.setdefault(read["key"], read["answer"])

    def _foreign(self) -> UserSetupError:
        return UserSetupError(
            f"user.cassette {self.path} is no cassette of this version: its first line is not {json.dumps(HEADER)}; "
            "name another file"
        )


@contextmanager
def _locked(path: Path, flags: int, kind: int) -> Iterator[int]:
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, kind)
        yield descriptor
    finally:
        os.close(descriptor)
