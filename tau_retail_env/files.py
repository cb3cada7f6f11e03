"""A run's small files: written whole or not at all, and JSON lines read up to the first that is not whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write_atomically(path: Path, text: str) -> None:
    """Write a whole file, so that a reader finds the old one or the new one.

    Args:
        path: the file; its folder is made where it is missing.
        text: what it will hold.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSONL file, up to the first line that is not whole; none where there is no file.

    Args:
        path: the file.
    """
    rows: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows
