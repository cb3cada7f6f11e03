"""Rows of metrics.jsonl: what goes when a run goes on, and what is said of lines that are no rows."""

import json
from pathlib import Path

import pytest

from tau_retail_env.runs.metric_log import MetricLog, cut_after


def rows(*steps: int) -> list[bytes]:
    return [json.dumps({"step": step}).encode() for step in steps]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.jsonl"


def steps_in(path: Path) -> list[int]:
    return [row["step"] for row in MetricLog(path).rows()]


def test_later_rows_go_and_are_named(path: Path):
    path.write_bytes(b"\n".join(rows(0, 1, 2, 3, 4)) + b"\n")
    assert cut_after(path, 2) == ["removed, they will be written again: the rows of steps 3 to 4 in metrics.jsonl"]
    assert cut_after(path, 2) == []
    assert steps_in(path) == [0, 1, 2]


def test_where_there_is_no_file_none_is_made(path: Path):
    assert cut_after(path, 2) == []
    assert not path.exists()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'{"step": 2, "critic/k', "line 3 is no JSON"),
        (b'{"step": 2, "a": "\xff\xfe"}', "line 3 is no UTF-8 text"),
        (b"5", "line 3 is no JSON object but int"),
        (b'{"critic/kl": 0.5}', "a row has no step"),
        (b'{"step": "2"}', "a row has no step"),
        (b"[" * 100_000, "line 3 is no JSON"),
    ],
)
def test_a_damaged_line_in_the_middle_loses_no_other_row(path: Path, line: bytes, words: str):
    before = b"\n".join([*rows(0, 1), line, *rows(3, 4)]) + b"\n"
    path.write_bytes(before)
    (said,) = cut_after(path, 4)
    assert words in said and str(path) in said and "metrics.jsonl.damaged" in said
    assert steps_in(path) == [0, 1, 3, 4]
    assert path.with_name("metrics.jsonl.damaged").read_bytes() == before


def test_a_row_without_its_end_is_not_joined_to_the_next(path: Path):
    path.write_bytes(b"\n".join(rows(0, 1)))
    assert cut_after(path, 1) == []
    MetricLog(path).write(2, {})
    assert steps_in(path) == [0, 1, 2]


def test_only_numbers_are_written(path: Path):
    values = {"b": 2.5, "a": float("inf"), "text": "x", "yes": True, "none": None, "count": 3}
    MetricLog(path).write(1, values)
    assert path.read_text() == '{"step": 1, "a": null, "b": 2.5, "count": 3, "none": null}\n'


class Listening:
    """A tracker that remembers what it was given."""

    def __init__(self) -> None:
        self.logged: list[tuple[dict[str, float], int]] = []

    def log(self, values: dict[str, float], step: int) -> None:
        self.logged.append((values, step))

    def show(self, rows: object, step: int) -> None:
        raise AssertionError("no episodes here")

    def close(self) -> None:
        pass


def test_a_tracker_is_given_the_numbers_that_are_known_and_their_step_apart(path: Path):
    tracker = Listening()
    MetricLog(path, [tracker]).write(3, {"score": 0.5, "kl": None})
    assert tracker.logged == [({"score": 0.5}, 3)]
