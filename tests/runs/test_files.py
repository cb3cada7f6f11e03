"""Small files of a run: written whole or not at all, with an error that names them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tau_retail_env.errors import TauRetailError
from tau_retail_env.runs.files import (
    WriteError,
    append_row,
    partial_of,
    read_rows,
    read_rows_and_damage,
    write_atomically,
)

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full, a disk without room")


def test_what_is_written_is_read_back(tmp_path: Path):
    path = tmp_path / "new" / "newer" / "rows.jsonl"
    write_atomically(path, '{"step": 0}\n')
    append_row(path, {"step": 1})
    assert read_rows(path) == [{"step": 0}, {"step": 1}]
    assert [file.name for file in path.parent.iterdir()] == ["rows.jsonl"]


@needs_full
def test_a_row_on_a_full_disk_is_an_error_with_path_and_reason(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    path.symlink_to(FULL)
    with pytest.raises(WriteError, match=r"metrics\.jsonl could not be written: No space left on device \(\S+ MB are"):
        append_row(path, {"step": 1})
    assert issubclass(WriteError, TauRetailError)


def test_a_path_that_names_no_file_is_refused():
    with pytest.raises(WriteError, match="it names no file"):
        write_atomically(Path(""), "text")


@needs_full
def test_a_file_on_a_full_disk_stays_as_it_was(tmp_path: Path):
    path = tmp_path / "summary.json"
    path.write_text("old")
    partial_of(path).symlink_to(FULL)
    with pytest.raises(WriteError, match=r"summary\.json could not be written: No space left on device"):
        write_atomically(path, "new")
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"summary.json": "old"}


FULL_AFTER_A_WHILE = """
import resource, signal, sys
from pathlib import Path
from tau_retail_env.runs.files import WriteError, append_row

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path(sys.argv[1])
append_row(path, {"step": 0})
resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 5,) * 2)
try:
    append_row(path, {"step": 1})
except WriteError as error:
    sys.exit(str(error))
"""


def test_of_a_row_that_finds_no_room_no_half_is_left(tmp_path: Path, repository: Path):
    """The kernel takes five bytes of the second row, as of a disk that is nearly full."""
    path = tmp_path / "metrics.jsonl"
    done = subprocess.run(
        [sys.executable, "-c", FULL_AFTER_A_WHILE, str(path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(repository)},
    )
    assert "metrics.jsonl could not be written: no space left for 12 bytes" in done.stderr
    assert path.read_text() == '{"step": 0}\n'


def test_lines_that_are_no_rows_are_named_and_the_others_are_read(tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a": \n\xff\n[1]\n{"a": 2}\n{"a"')
    rows, damage = read_rows_and_damage(path)
    assert rows == read_rows(path) == [{"a": 1}, {"a": 2}]
    assert [reason.split(" (")[0] for reason in damage] == [
        "line 2 is no JSON",
        "line 3 is no UTF-8 text",
        "line 4 is no JSON object but list",
        "line 6 is no JSON",
    ]


def test_half_a_surrogate_pair_becomes_a_question_mark(tmp_path: Path):
    write_atomically(tmp_path / "results.json", "said \ud800")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("results.json", "said ?")]


@pytest.mark.parametrize("name", ["n" * 250, "é" * 127], ids=["letters", "two bytes each"])
def test_a_name_as_long_as_the_system_takes_is_written(tmp_path: Path, name: str):
    write_atomically(tmp_path / name, "text")
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_two_processes_that_write_one_file_do_not_write_into_one_another(tmp_path: Path):
    path = tmp_path / "page.html"
    another = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path; from tau_retail_env.runs.files import partial_of; "
            "print(partial_of(Path(sys.argv[1])))",
            path,
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert partial_of(path) != Path(another.stdout.strip())
    assert partial_of(path).parent == path.parent


def test_ctrl_c_while_a_file_is_written_leaves_the_old_one_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "summary.json"
    path.write_text("old")
    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, "new")
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"summary.json": "old"}
