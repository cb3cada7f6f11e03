"""A run's folder belongs to one process at a time, and to nobody once that process is gone."""

import fcntl
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.runs.folder import lock_new
from tau_retail_env.runs.folder_lock import LOCK, FolderLock, is_unused

HOLDER = textwrap.dedent(
    """
    import os, sys, time
    from pathlib import Path
    from tau_retail_env.runs.folder_lock import FolderLock

    lock = FolderLock(Path(sys.argv[1]))
    reader, writer = os.pipe()
    child = os.fork() if sys.argv[2] == "forks" else None
    if child == 0:
        os.write(writer, b"x")
    else:
        if child:
            os.read(reader, 1)  # the child has let go of the lock, which it does when it begins
        print(child, flush=True)
    time.sleep(600)
    """
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "outputs" / "run"


@pytest.fixture(params=["alone", "forks"])
def holder(request: pytest.FixtureRequest, folder: Path, repository: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the folder; one that forks has a child that outlives it."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder), request.param],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(repository)},
    )
    assert process.stdout is not None
    child = process.stdout.readline().strip()
    yield process
    process.kill()
    process.wait()
    if child != "None":
        os.kill(int(child), signal.SIGKILL)


def test_another_process_is_told_to_wait(folder: Path, holder: subprocess.Popen[str]):
    with pytest.raises(InvalidValueError, match=rf"output_dir {folder}: another process is writing to it\. Wait"):
        FolderLock(folder)
    assert folder.is_dir()


def test_a_killed_process_leaves_the_folder_to_the_next(folder: Path, holder: subprocess.Popen[str]):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert is_unused(folder)
    with FolderLock(folder):
        assert folder.is_dir()


def test_what_was_made_goes_unless_something_was_written(folder: Path):
    with FolderLock(folder):
        assert folder.is_dir()
    assert not folder.parent.exists()
    with FolderLock(folder):
        (folder / "config.yaml").touch()
    assert [path.name for path in folder.iterdir()] == ["config.yaml"]


def test_a_folder_that_was_there_stays(folder: Path):
    folder.mkdir(parents=True)
    with FolderLock(folder):
        pass
    assert folder.is_dir() and is_unused(folder)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(InvalidValueError, match=r"output_dir .*file/run cannot be written to: Not a directory"):
        FolderLock(tmp_path / "file" / "run")


def _take_and_leave(folder: Path, times: int) -> tuple[int, int]:
    """How often the folder was held, and how often somebody else was in it meanwhile."""
    held, disturbed = 0, 0
    for _ in range(times):
        try:
            with FolderLock(folder):
                held += 1
                mark = folder / "mark"
                disturbed += mark.exists()
                mark.touch()
                mark.unlink()
        except InvalidValueError:
            continue
    return held, disturbed


def test_many_processes_that_come_and_go_are_never_in_it_together(folder: Path):
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        counts = pool.starmap(_take_and_leave, [(folder, 300)] * 4)
    assert sum(held for held, _ in counts) > 0
    assert [disturbed for _, disturbed in counts] == [0] * 4


def test_a_lock_on_a_file_that_was_removed_meanwhile_is_taken_again(folder: Path, monkeypatch: pytest.MonkeyPatch):
    lock, removed = fcntl.flock, []

    def late(descriptor: int, how: int) -> None:
        if not removed:  # the process before lets go between our opening and our locking
            (folder / LOCK).unlink()
            removed.append(descriptor)
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with FolderLock(folder):
        assert removed and (folder / LOCK).exists()
        monkeypatch.undo()
        with pytest.raises(InvalidValueError, match="another process is writing to it"):
            FolderLock(folder)


def test_a_lock_on_a_file_that_another_process_made_anew_meanwhile_does_not_count(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    lock, others = fcntl.flock, []

    def late(descriptor: int, how: int) -> None:
        if not others:
            (folder / LOCK).unlink()
            others.append(os.open(folder / LOCK, os.O_RDWR | os.O_CREAT))
            lock(others[0], fcntl.LOCK_EX)
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(InvalidValueError, match="another process is writing to it"):
        FolderLock(folder)
    os.close(others[0])


def test_a_folder_that_is_refused_to_a_new_run_stays_as_it_was_and_free(folder: Path):
    folder.mkdir(parents=True)
    (folder / "letters.txt").touch()
    with pytest.raises(InvalidValueError, match="already holds files of something else"):
        lock_new(folder)
    assert [path.name for path in folder.iterdir()] == ["letters.txt"]
    (folder / "letters.txt").rename(folder / "config.yaml")
    with pytest.raises(InvalidValueError):
        lock_new(folder)
    assert [path.name for path in folder.iterdir()] == ["config.yaml"]
    with FolderLock(folder):
        pass


def test_letting_go_twice_takes_nothing_from_whoever_has_the_folder_by_then(folder: Path):
    first = FolderLock(folder)
    first.release()
    with FolderLock(folder):
        first.release()
        assert (folder / LOCK).exists()


def test_a_file_in_the_place_of_a_new_folder_is_named_as_one(tmp_path: Path):
    (tmp_path / "run").write_text("notes")
    with pytest.raises(InvalidValueError, match=r"run already is a file of that name\. Give another: output_dir="):
        lock_new(tmp_path / "run")
