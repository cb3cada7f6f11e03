"""A run's small files: written whole or not at all, and JSON lines, of which those that are damaged are named."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tau_retail_env.errors import TauRetailError

PARTIAL = ".part"
"""The end of the name of a file that is being written."""
NAME_BYTES = 200
"""Bytes of a file's name that its partial one begins with: a name has 255 at most."""


class WriteError(TauRetailError, OSError):
    """A file that could not be written, as when the disk is full; what it held before is untouched."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say which file it was that could not be written.

    Args:
        path: what is written meanwhile.

    Raises:
        WriteError: the operating system refused it, as when the disk is full.
    """
    try:
        yield
    except WriteError:
        raise
    except OSError as error:
        raise WriteError(f"{path} could not be written: {error.strerror or error}{_free(path)}") from error


def write_atomically(path: Path, text: str) -> None:
    """Write a whole file, so that a reader finds the old one or the new one.

    Args:
        path: the file; its folder is made where it is missing.
        text: what it will hold; of what no file in UTF-8 can hold, half a surrogate pair, a question mark is left.

    Raises:
        WriteError: it cannot be written.
    """
    if not path.name:
        raise WriteError(f"{str(path)!r} could not be written: it names no file")
    partial = partial_of(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_text(text, encoding="utf-8", errors="replace")
            partial.replace(path)
        except BaseException:  # Ctrl-C among it
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise


def partial_of(path: Path) -> Path:
    """Where a file is written before it takes its place: beside it, and no other process's.

    Args:
        path: the file; its name may be as long as a system takes.
    """
    name = path.name.encode()[:NAME_BYTES].decode(errors="ignore")
    return path.with_name(f".{name}.{os.getpid()}{PARTIAL}")


def is_partial(path: Path) -> bool:
    """Whether a process was killed while it wrote this file, which holds nothing yet."""
    return path.name.startswith(".") and path.name.endswith(PARTIAL)


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Add a line of JSON to a file and hand it to the disk: a killed process leaves whole lines.

    Raises:
        WriteError: it cannot be written.
    """
    line = (json.dumps(dict(row)) + "\n").encode("utf-8")
    # Unbuffered: a line is one write, so that a short one is noticed and taken back.
    with writing(path), path.open("ab", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        if file.write(line) != len(line):  # the disk is full
            os.ftruncate(file.fileno(), size)
            raise OSError(f"no space left for {len(line)} bytes")
        os.fsync(file.fileno())


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSONL file that are whole; none where there is no file.

    Args:
        path: the file.
    """
    return read_rows_and_damage(path)[0]


def read_rows_and_damage(path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """The rows of a JSONL file, and what is wrong with the lines that are none.

    Args:
        path: the file; one that is not there has no rows.

    Returns:
        The rows, and for each other line its number and the reason: "line 3 is no JSON (Expecting value)".
    """
    rows: list[dict[str, Any]] = []
    damage: list[str] = []
    for number, line in enumerate(path.read_bytes().splitlines() if path.is_file() else (), start=1):
        try:
            row = json.loads(line.decode("utf-8"))
        except UnicodeDecodeError as error:
            damage.append(f"line {number} is no UTF-8 text ({error.reason} at its byte {error.start})")
            continue
        except (ValueError, RecursionError) as error:
            damage.append(f"line {number} is no JSON ({error})")
            continue
        if isinstance(row, dict):
            rows.append(row)
        else:
            damage.append(f"line {number} is no JSON object but {type(row).__name__}")
    return rows, damage


def _free(path: Path) -> str:
    """What is left of the disk, in words; nothing where that is unknown."""
    existing = next((folder for folder in path.absolute().parents if folder.is_dir()), None)
    try:
        return f" ({shutil.disk_usage(existing).free / 1e6:,.0f} MB are free on its disk)" if existing else ""
    except OSError:
        return ""
