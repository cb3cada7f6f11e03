"""Files of tasks: one JSON object a line, as `tau-retail generate` and `tau-retail tasks --json` print them."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.tasks.task import Action, Scenario, Task

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_EXPECTED = "expected lines written by `tau-retail generate` or by `tau-retail tasks --json`"
_TUPLES = ("outputs", "reward_basis", "assertions", "labels")


def task_line(task: Task) -> str:
    """A task as one line of a file."""
    return json.dumps(task, default=fields_of, ensure_ascii=False)


def fields_of(value: Any) -> dict[str, Any]:
    """The fields of a dataclass by name, as the `default` of `json.dumps`; `dataclasses.asdict` copies all they hold.

    Raises:
        TypeError: it is something else.
    """
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def read_tasks(path: str | os.PathLike[str]) -> list[Task]:
    """Read a file of tasks, for `TauRetailEnv(source=…, tasks=…)`.

    Args:
        path: a file with a task a line.

    Raises:
        InvalidValueError: a line is not a task, or the file no text; the message names file and line.
        OSError: there is no such file, or it cannot be read.
    """
    with open(path, encoding="utf-8") as file:
        try:
            return [_task(line, f"{path}, line {number}") for number, line in enumerate(file, start=1)]
        except UnicodeDecodeError as error:
            raise InvalidValueError(f"{path}: not a file of tasks ({error}); {_EXPECTED}") from error


@functools.cache
def _types() -> TypeAdapter[Task]:
    """What checks the types of a task's fields; made where a file is read, for pydantic takes long to import."""
    from pydantic import TypeAdapter

    return TypeAdapter(Task)


def _task(line: str, where: str) -> Task:
    from pydantic import ValidationError

    try:
        row: Mapping[str, Any] = json.loads(line)
        given: dict[str, Any] = {name: tuple(value) if name in _TUPLES else value for name, value in row.items()}
        given["actions"] = tuple(Action(**action) for action in row["actions"])
        given["scenario"] = Scenario(**row.get("scenario", {}))
        task = Task(**given)
        _types().validate_json(line, strict=True)
        if not task.id.strip():
            raise ValueError(f"id is {task.id!r}, expected a text that names it")
        return task
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        problem = f"{'.'.join(map(str, first['loc']))} is {first['input']!r:.80}: {first['msg']}"
    except KeyError as error:
        problem = f"without {error}"
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        problem = str(error)
    raise InvalidValueError(f"{where}: not a task ({problem}); {_EXPECTED}")
