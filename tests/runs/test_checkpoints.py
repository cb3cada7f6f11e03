"""A checkpoint is whole when its manifest says so, and the weights of the best validation are kept."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tau_retail_env.runs import checkpoints
from tau_retail_env.runs.checkpoints import best_in, damage_of, keep_best, remove_leftovers, write_manifest
from tau_retail_env.runs.files import WriteError


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint-7"
    (folder / "critic").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "optimizer.pt").write_bytes(b"")
    (folder / "critic" / "model.safetensors").write_bytes(b"values")
    write_manifest(folder)
    return folder


def test_a_checkpoint_as_it_was_written_is_whole(checkpoint: Path):
    assert damage_of(checkpoint) is None
    (checkpoint / "notes.md").write_text("somebody's own file")
    assert damage_of(checkpoint) is None


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / "optimizer.pt").unlink(), "optimizer.pt is missing"),
        (lambda folder: (folder / "critic" / "model.safetensors").unlink(), "critic/model.safetensors is missing"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"weig"), "model.safetensors has 4 bytes where"),
        (lambda folder: (folder / "optimizer.pt").write_bytes(b"x"), "optimizer.pt has 1 bytes where .* says 0"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"weighTs"), "model.safetensors is not what was"),
        (lambda folder: (folder / "manifest.json").write_text('{"files": {'), "manifest.json cannot be read"),
        (lambda folder: (folder / "manifest.json").write_bytes(b"\xff\xfe"), "manifest.json cannot be read"),
        (lambda folder: (folder / "manifest.json").write_text("[]"), "manifest.json cannot be read"),
        (lambda folder: (folder / "manifest.json").write_text('{"files": {"a": 1}}'), "manifest.json cannot be read"),
    ],
)
def test_what_is_missing_or_another_is_named(checkpoint: Path, damage: Callable[[Path], None], words: str):
    damage(checkpoint)
    reason = damage_of(checkpoint)
    assert reason is not None and re.search(words, reason)


def test_sizes_alone_do_not_see_a_changed_byte_but_a_missing_file(checkpoint: Path):
    (checkpoint / "model.safetensors").write_bytes(b"weighTs")
    assert damage_of(checkpoint, by_size_alone=True) is None
    (checkpoint / "optimizer.pt").unlink()
    assert damage_of(checkpoint, by_size_alone=True) == "optimizer.pt is missing"


def weights(text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "weights").write_text(text)


def test_the_best_validation_stays_and_of_equals_the_first(tmp_path: Path):
    judged = [(5, 0.25), (10, 0.5), (15, 0.5), (20, None), (25, float("nan")), (30, 0.4)]
    kept = {step: keep_best(tmp_path, step, score, weights(str(step))) for step, score in judged}
    assert kept == {5: True, 10: True, 15: False, 20: False, 25: False, 30: False}
    assert best_in(tmp_path) == {"step": 10, "score": 0.5}
    assert (tmp_path / "best" / "weights").read_text() == "10"
    assert damage_of(tmp_path / "best") is None
    assert [path.name for path in tmp_path.iterdir()] == ["best"]


def test_the_first_best_may_come_before_any_checkpoint(tmp_path: Path):
    assert keep_best(tmp_path / "run" / "checkpoints", 0, 0.25, weights("0"))
    assert best_in(tmp_path / "run" / "checkpoints") == {"step": 0, "score": 0.25}


def test_a_full_disk_leaves_the_best_before(tmp_path: Path):
    keep_best(tmp_path, 5, 0.25, weights("5"))

    def fail(folder: Path) -> None:
        (folder / "weights").write_text("half")
        raise RuntimeError("No space left on device")  # as safetensors tells it

    with pytest.raises(WriteError, match=r"best could not be written: No space left on device"):
        keep_best(tmp_path, 10, 0.5, fail)
    assert best_in(tmp_path) == {"step": 5, "score": 0.25}
    assert [path.name for path in tmp_path.iterdir()] == ["best"]


def test_an_interruption_while_the_best_is_replaced_leaves_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    keep_best(tmp_path, 5, 0.25, weights("5"))
    rename = Path.rename

    def interrupted(self: Path, target: Path) -> Path:
        if self.name.endswith(".partial") and Path(target).name == "best":
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        keep_best(tmp_path, 10, 0.5, weights("10"))
    monkeypatch.undo()
    assert best_in(tmp_path) is None
    remove_leftovers(tmp_path)
    assert best_in(tmp_path) == {"step": 5, "score": 0.25}
    assert [path.name for path in tmp_path.iterdir()] == ["best"]


def test_files_reach_the_disk_before_a_rename_makes_them_visible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    done: list[str] = []
    sync, rename = os.fsync, Path.rename
    monkeypatch.setattr(os, "fsync", lambda file: (done.append("sync"), sync(file))[1])
    monkeypatch.setattr(Path, "rename", lambda self, target: (done.append("rename"), rename(self, target))[1])
    keep_best(tmp_path, 5, 0.25, weights("5"))
    files = len(list((tmp_path / "best").iterdir()))
    assert done == ["sync"] * files + ["rename"] and files == 3


def test_folders_of_other_names_are_no_checkpoints(tmp_path: Path):
    for name in ("checkpoint-2", "checkpoint-10", "checkpoint-3.aside-1", ".checkpoint-4.partial", "best"):
        (tmp_path / name).mkdir()
    assert [step for step, _ in checkpoints.checkpoints_in(tmp_path)] == [2, 10]
    assert checkpoints.checkpoints_in(tmp_path / "missing") == []
