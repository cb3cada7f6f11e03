"""Files of tasks: what is written is read again, and what is no task is refused by its line."""

import json
from pathlib import Path

import pytest

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.sources import load_tasks
from tau_retail_env.sources.generated import SERIES2
from tau_retail_env.tasks.files import read_tasks, task_line


def test_tasks_are_read_as_they_were_written(tmp_path: Path) -> None:
    tasks = [*SERIES2.generate("train2", 30), *load_tasks("tau2", "base")]
    path = tmp_path / "tasks.jsonl"
    path.write_text("".join(f"{task_line(task)}\n" for task in tasks), encoding="utf-8")
    assert [task_line(task) for task in read_tasks(path)] == [task_line(task) for task in tasks]
    assert read_tasks(path)[30:] == tasks[30:]


@pytest.mark.parametrize("line", ["no JSON", "[]", "{}", '{"id": "a", "actions": [{"tool": "x"}]}'])
def test_a_line_that_is_no_task_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "tasks.jsonl"
    path.write_text(f"{task_line(load_tasks('tau2', 'base')[0])}\n{line}\n", encoding="utf-8")
    with pytest.raises(InvalidValueError, match=r"tasks\.jsonl, line 2: not a task"):
        read_tasks(path)


def test_a_field_that_is_missing_is_named(tmp_path: Path) -> None:
    path = tmp_path / "tasks.jsonl"
    path.write_text('{"id": "a"}', encoding="utf-8")
    with pytest.raises(InvalidValueError, match=r"not a task \(without 'actions'\)"):
        read_tasks(path)


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "tasks.jsonl"
    path.write_bytes(b"\xdf\x00")
    with pytest.raises(InvalidValueError, match=r"tasks\.jsonl: not a file of tasks"):
        read_tasks(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("outputs", "10"),
        ("outputs", [10]),
        ("id", 5),
        ("id", ""),
        ("reward_basis", "DB"),
        ("labels", "easy"),
        ("instruction", None),
    ],
)
def test_a_field_of_another_type_is_named(tmp_path: Path, name: str, value: object) -> None:
    row = json.loads(task_line(load_tasks("tau2", "base")[0]))
    path = tmp_path / "tasks.jsonl"
    path.write_text(json.dumps({**row, name: value}), encoding="utf-8")
    with pytest.raises(InvalidValueError, match=rf"tasks\.jsonl, line 1: not a task \({name}.* is "):
        read_tasks(path)
