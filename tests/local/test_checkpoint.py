"""Checkpoints are complete or not there."""

import os
import shutil
from pathlib import Path

import pytest

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.local import checkpoint
from tau_retail_env.local.checkpoint import CheckpointError
from tau_retail_env.runs.checkpoints import checkpoints_in, damage_of, remove_leftovers


def write_text(text: str):
    return lambda folder: (folder / "weights").write_text(text)


def test_only_the_newest_are_kept(tmp_path: Path):
    for step in (5, 10, 15):
        checkpoint.save(tmp_path, step, write_text(str(step)), keep=2)
    assert [step for step, _ in checkpoints_in(tmp_path)] == [10, 15]
    assert (checkpoints_in(tmp_path)[-1][1] / "weights").read_text() == "15"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-15"]


def test_all_are_kept_when_asked(tmp_path: Path):
    for step in (1, 2, 3):
        checkpoint.save(tmp_path, step, write_text("x"), keep=0)
    assert [step for step, _ in checkpoints_in(tmp_path)] == [1, 2, 3]


def test_a_checkpoint_is_seen_only_when_it_is_whole(tmp_path: Path):
    def write(folder: Path) -> None:
        (folder / "weights").write_text("half")
        assert checkpoints_in(tmp_path) == []

    checkpoint.save(tmp_path, 1, write, keep=2)
    assert [step for step, _ in checkpoints_in(tmp_path)] == [1]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("file write failed")])
def test_a_full_disk_leaves_the_earlier_checkpoint(tmp_path: Path, error: Exception):
    checkpoint.save(tmp_path, 1, write_text("good"), keep=1)

    def fail(folder: Path) -> None:
        (folder / "weights").write_text("half")
        raise error

    with pytest.raises(
        CheckpointError, match=r"checkpoint-2 could not be written .*checkpoint-1 is intact.*resume=true"
    ):
        checkpoint.save(tmp_path, 2, fail, keep=1)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-1"]
    assert (tmp_path / "checkpoint-1" / "weights").read_text() == "good"


def test_what_an_interruption_left_is_not_taken_for_a_checkpoint(tmp_path: Path):
    for name in (".checkpoint-2.partial", ".checkpoint-1.removed", "checkpoint-x"):
        (tmp_path / name).mkdir()
    assert checkpoints_in(tmp_path) == []
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-x"]


def test_too_little_disk_space_is_refused_with_path_needed_and_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 9 * 10**8, 10**8))
    checkpoint.check_space(tmp_path, 1_000_000, keep=2)
    with pytest.raises(
        InvalidValueError,
        match=rf"{tmp_path}: 440 MB needed for 3 of them and the best weights, 100 MB free.*output_dir",
    ):
        checkpoint.check_space(tmp_path, 10_000_000, keep=2)


def test_a_checkpoint_that_is_half_removed_has_lost_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    checkpoint.save(tmp_path, 1, write_text("1"), keep=1)
    rmtree = shutil.rmtree

    def interrupted(path: Path, *_: object, **__: object) -> None:
        if (Path(path) / "weights").exists():
            raise KeyboardInterrupt
        rmtree(path, ignore_errors=True)

    monkeypatch.setattr(shutil, "rmtree", interrupted)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(tmp_path, 2, write_text("2"), keep=1)
    assert [step for step, _ in checkpoints_in(tmp_path)] == [2]


def test_the_files_of_a_checkpoint_reach_the_disk_before_it_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    done: list[str] = []
    sync, rename = os.fsync, Path.rename
    monkeypatch.setattr(os, "fsync", lambda file: (done.append("sync"), sync(file))[1])
    monkeypatch.setattr(Path, "rename", lambda self, target: (done.append("rename"), rename(self, target))[1])
    saved = checkpoint.save(tmp_path, 1, write_text("1"), keep=1)
    assert done == ["sync", "sync", "rename"]
    assert sorted(path.name for path in saved.iterdir()) == ["manifest.json", "weights"]
    assert damage_of(saved) is None
