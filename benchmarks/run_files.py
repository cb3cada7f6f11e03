"""What the scripts read from a run's folder: where it is not there or damaged, one line says so and the script ends."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any, NoReturn

import yaml

from tau_retail_env.blocks import shown
from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.runs.files import read_rows_and_damage
from tau_retail_env.runs.trajectories import read_trajectories

METRIC = "/"
"""What the name of every metric has; what says whose the row is (step, seed, run) has none."""


def metrics(path: Path) -> list[dict[str, Any]]:
    """The rows of a run's metrics, one or more, each with its step and its metrics that are numbers; null is none.

    Args:
        path: the file.

    Raises:
        SystemExit: it is not there, is damaged, has no rows, or has a metric that is no number.
    """
    rows, damage = read_rows_and_damage(_there(path))
    damage += [
        f"row {number} has no step" for number, row in enumerate(rows, start=1) if type(row.get("step")) is not int
    ]
    damage += [
        f"row {number}, {name}: found {shown(value)}, expected a number or null"
        for number, row in enumerate(rows, start=1)
        for name, value in row.items()
        if METRIC in name and type(value) not in (int, float, NoneType)
    ]
    if damage:
        refuse(f"{path}: {damage[0]}")
    if not rows:
        refuse(f"{path} has no rows; give the folder of a run that has done a step")
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def keys_of(path: Path, *expected: str) -> Mapping[str, Any]:
    """The keys and values of a YAML or JSON file.

    Args:
        path: the file.
        expected: keys at its top that it must have.

    Raises:
        SystemExit: it is not there, is damaged or has them not.
    """
    text = _there(path).read_text(encoding="utf-8", errors="replace")
    try:
        found = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        refuse(f"{path} cannot be read: {' '.join(str(error).split())}")
    if not isinstance(found, dict):
        refuse(f"{path} holds no keys and values")
    if missing := [name for name in expected if name not in found]:
        refuse(f"{path} has no {', '.join(missing)}")
    return found


def trajectories(paths: Sequence[Path]) -> Iterator[Trajectory]:
    """The episodes of files of trajectories, in order.

    Args:
        paths: the files.

    Raises:
        SystemExit: one of them is damaged.
    """
    for path in paths:
        try:
            yield from read_trajectories(path)
        except InvalidValueError as error:
            refuse(str(error))


def refuse(reason: str) -> NoReturn:
    """End the script with one line, as the commands do.

    Args:
        reason: what is missing or wrong.

    Raises:
        SystemExit: always, with status 2.
    """
    print(f"error: {reason}", file=sys.stderr)
    raise SystemExit(2)


def _there(path: Path) -> Path:
    if not path.is_file():
        refuse(f"{path} is not there")
    return path
