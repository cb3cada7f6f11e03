"""Small files of a run: written whole or not at all, with an error that names them."""

from pathlib import Path

import pytest

from tau_retail_env.errors import TauRetailError
from tau_retail_env.runs.files import WriteError, append_row, read_rows, write_atomically

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full, a disk without room")


def test_what_is_written_is_read_back(tmp_path: Path):
    path = tmp_path / "new" / "rows.jsonl"
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


@needs_full
def test_a_file_on_a_full_disk_stays_as_it_was(tmp_path: Path):
    path = tmp_path / "summary.json"
    path.write_text("old")
    (tmp_path / ".summary.json.partial").symlink_to(FULL)
    with pytest.raises(WriteError, match=r"summary\.json could not be written: No space left on device"):
        write_atomically(path, "new")
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"summary.json": "old"}
