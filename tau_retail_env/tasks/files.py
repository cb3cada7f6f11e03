"""Files of tasks: one JSON object a line, as `tau-retail generate` and `tau-retail tasks --json` print them."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.tasks.task import Action, Scenario, Task

_TUPLES = ("outputs", "reward_basis", "assertions", "labels")


def task_line(task: Task) -> str:
    """A task as one line of a file."""
    return json.dumps(dataclasses.asdict(task), ensure_ascii=False)


def read_tasks(path: str | os.PathLike[str]) -> list[Task]:
    """Read a file of tasks, for `TauRetailEnv(source=…, tasks=…)`.

    Args:
        path: a file with a task a line.

    Raises:
        InvalidValueError: a line is not a task; the message names file and line.
        FileNotFoundError: there is no such file.
    """
    with open(path, encoding="utf-8") as file:
        return [_task(line, f"{path}, line {number}") for number, line in enumerate(file, start=1)]


def _task(line: str, where: str) -> Task:
    try:
        row: Mapping[str, Any] = json.loads(line)
        given: dict[str, Any] = {name: tuple(value) if name in _TUPLES else value for name, value in row.items()}
        given["actions"] = tuple(Action(**action) for action in row["actions"])
        given["scenario"] = Scenario(**row.get("scenario", {}))
        return Task(**given)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidValueError(
            f"{where}: not a task ({error}); expected a line written by `tau-retail generate` or by "
            "`tau-retail tasks --json`"
        ) from error
