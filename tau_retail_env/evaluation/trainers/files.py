"""The files of other trainers: parquet that Hugging Face's `datasets` and verl read, and JSON lines."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tau_retail_env.errors import MissingDependencyError
from tau_retail_env.runs.files import partial_of, writing

Row = dict[str, Any]
OF_ANY_SHAPE = ("messages", "tools")
"""Columns whose elements are JSON objects with any members: as plain structs all of them would get the members of all
others, as nulls, and chat templates would show these to the model."""


def write_parquet(path: Path, rows: Iterable[Row]) -> int:
    """Write a parquet file, whole or not at all; `datasets.load_dataset(FOLDER)` reads it as a split of its name.

    Args:
        path: the file; its folder is made where it is missing.
        rows: at least one; all with the same columns.

    Returns:
        How many rows there are.

    Raises:
        MissingDependencyError: the package datasets is not installed, or is older than its JSON columns.
        WriteError: the disk does not allow it.
    """
    try:
        from datasets import Dataset, Features, Json, List
    except ImportError:
        raise MissingDependencyError(
            "Parquet files need the package datasets, 4.7 or newer: pip install 'datasets>=4.7', "
            "or pip install 'tau-retail[train]'"
        ) from None
    table = [_in_utf8(row) for row in rows]
    shaped = {name: List(Json()) for name in OF_ANY_SHAPE if name in table[0]}
    plain = Dataset.from_list([{name: row[name] for name in row if name not in shaped} for row in table])
    data = Dataset.from_list(table, features=Features({**plain.features, **shaped}))
    partial = partial_of(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with _quiet():
                data.to_parquet(partial)
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    return len(table)


def write_lines(path: Path, rows: Iterable[Row]) -> int:
    """Write a file of JSON lines, whole or not at all.

    Args:
        path: the file; its folder is made where it is missing.
        rows: one a line.

    Returns:
        How many rows there are.

    Raises:
        WriteError: the disk does not allow it.
    """
    partial = partial_of(path)
    count = 0
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("w", encoding="utf-8", errors="replace") as file:
                for row in rows:
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")
                    count += 1
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    return count


def _in_utf8(row: Row) -> Row:
    """A row as a file in UTF-8 holds it: of half a surrogate pair, which a model may write, a question mark is left."""
    written: Row = json.loads(json.dumps(row, ensure_ascii=False).encode("utf-8", errors="replace"))
    return written


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the progress bars of `datasets`, which are one switch for the whole process."""
    from datasets import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
