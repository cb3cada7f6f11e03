"""What was answered once is answered again, from a file that survives threads, processes and crashes."""

from __future__ import annotations

import json
import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tau_retail_env.errors import UserSetupError
from tau_retail_env.users.llm.cassette import HEADER, Cassette

REQUEST = {"context": "tau2/1/0/0", "model": "m", "messages": [{"role": "user", "content": "hé \u2028 \U0001f600"}]}
ANSWER = {"content": "caf\u00e9\n\u2028 ", "usage": {}}


def add_many(path: Path, who: str, count: int) -> None:
    cassette = Cassette(path)
    for number in range(count):
        cassette.add({"number": number}, {"content": f"{who} {number}"})


def test_an_answer_is_found_by_an_equal_request(tmp_path):
    path = tmp_path / "new" / "cassette.jsonl"
    Cassette(path).add(REQUEST, ANSWER)
    cassette = Cassette(path)
    assert cassette.find(dict(reversed(REQUEST.items()))) == ANSWER
    assert cassette.find({**REQUEST, "context": "tau2/1/0/1"}) is None
    assert cassette.find({**REQUEST, "temperature": 0.0}) is None


def test_the_file_is_lines_of_json_under_a_header(tmp_path):
    path = tmp_path / "cassette.jsonl"
    Cassette(path).add(REQUEST, ANSWER)
    header, entry = [json.loads(line) for line in path.read_text().splitlines()]
    assert header == HEADER
    assert (entry["request"], entry["answer"]) == (REQUEST, ANSWER)


def test_reading_makes_no_file(tmp_path):
    path = tmp_path / "cassette.jsonl"
    assert Cassette(path).find(REQUEST) is None
    assert not path.exists()


def test_what_another_process_adds_is_found(tmp_path):
    path = tmp_path / "cassette.jsonl"
    first, second = Cassette(path), Cassette(path)
    assert second.find(REQUEST) is None
    first.add(REQUEST, ANSWER)
    assert second.find(REQUEST) == ANSWER


def test_the_first_answer_stands(tmp_path):
    path = tmp_path / "cassette.jsonl"
    first, second = Cassette(path), Cassette(path)
    first.add(REQUEST, ANSWER)
    assert second.add(REQUEST, {"content": "too late"}) == ANSWER
    assert len(path.read_text().splitlines()) == 2


def test_threads_and_processes_share_a_file(tmp_path):
    path = tmp_path / "cassette.jsonl"
    processes = [
        multiprocessing.get_context("spawn").Process(target=add_many, args=(path, who, 50)) for who in ("a", "b")
    ]
    for process in processes:
        process.start()
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda who: add_many(path, who, 50), "cdef"))
    for process in processes:
        process.join()
        assert process.exitcode == 0
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert sorted(line["request"]["number"] for line in lines[1:]) == list(range(50))


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_half_written_last_line_is_passed_over_and_healed(tmp_path, cut):
    path = tmp_path / "cassette.jsonl"
    cassette = Cassette(path)
    cassette.add(REQUEST, ANSWER)
    cassette.add({"number": 2}, {"content": "two"})
    path.write_bytes(path.read_bytes()[:-cut])
    crashed = Cassette(path)
    assert crashed.find(REQUEST) == ANSWER
    assert crashed.find({"number": 2}) is None
    crashed.add({"number": 3}, {"content": "three"})
    healed = Cassette(path)
    assert (len(healed), healed.find({"number": 3})) == (2, {"content": "three"})


def test_a_half_written_header_is_healed(tmp_path):
    path = tmp_path / "cassette.jsonl"
    path.write_bytes(b'{"cass')
    Cassette(path).add(REQUEST, ANSWER)
    assert Cassette(path).find(REQUEST) == ANSWER


@pytest.mark.parametrize(
    "text", ['{"mine": 1}\n', "no end of line", '{"cassette": "tau-retail customers", "version": 2}\n']
)
def test_a_file_of_another_kind_is_left_alone(tmp_path, text):
    path = tmp_path / "notes.jsonl"
    path.write_text(text)
    with pytest.raises(UserSetupError, match="is no cassette of this version"):
        Cassette(path)
    assert path.read_text() == text


@pytest.mark.parametrize("line", ["not an entry", '{"key": "1"}', "[" * 100_000 + "]" * 100_000])
def test_a_broken_line_is_named(tmp_path, line):
    path = tmp_path / "cassette.jsonl"
    Cassette(path).add(REQUEST, ANSWER)
    with path.open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(UserSetupError, match="line 3 is no entry"):
        Cassette(path)


def test_a_cassette_that_vanishes_while_in_use_is_an_error(tmp_path):
    path = tmp_path / "cassette.jsonl"
    cassette = Cassette(path)
    cassette.add(REQUEST, ANSWER)
    path.unlink()
    with pytest.raises(UserSetupError, match="shortened"):
        cassette.add({"number": 2}, ANSWER)


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserSetupError, match=r"user.cassette .* cannot be"):
        Cassette(tmp_path / "file" / "cassette.jsonl").add(REQUEST, ANSWER)
