"""Temporary folders: gone with their process, and after a SIGKILL with the next one; nobody else's is touched."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from tau_retail_env.runs import temporary
from tau_retail_env.runs.temporary import temporary_folder

HOLDS = """
import time
from tau_retail_env.runs.temporary import temporary_folder
with temporary_folder() as folder:
    (folder / "part").write_text("part")
    print(folder, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def holder(place):
    """Another process in a temporary folder of its own; it, and the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS], env=os.environ | {"TMPDIR": str(place)}, stdout=subprocess.PIPE, text=True
    )
    yield process, Path(process.stdout.readline().strip())
    process.kill()
    process.wait()


def test_a_folder_goes_at_its_end(place):
    with temporary_folder() as folder:
        (folder / "part").write_text("part")
        assert folder.parent == place and folder.stat().st_mode & 0o777 == 0o700
    assert list(place.iterdir()) == []


def test_the_folder_of_a_killed_process_goes_with_the_next_and_that_of_a_living_one_stays(place, holder):
    process, held = holder
    with temporary_folder() as folder:
        assert sorted(place.iterdir()) == sorted([folder, held])
    os.kill(process.pid, signal.SIGSTOP)  # it lives, and does nothing
    with temporary_folder():
        assert (held / "part").exists()
    process.kill()
    process.wait()
    assert held.exists()
    with temporary_folder() as folder:
        assert list(place.iterdir()) == [folder]


def test_what_is_named_otherwise_and_what_is_no_folder_stays(place):
    others = [place / "tmpabc", place / f"tau-retail-{os.getuid()}", place / "tau-retail-run.elsewhere.abc"]
    for other in others:
        other.mkdir()
    link, file = place / f"{temporary._prefix()}link", place / f"{temporary._prefix()}file"
    link.symlink_to(others[0])
    file.touch()
    with temporary_folder():
        pass
    assert sorted(place.iterdir()) == sorted([*others, link, file])


def test_another_users_folder_stays(place, monkeypatch):
    (place / f"{temporary._prefix()}abc").mkdir()
    monkeypatch.setattr(os, "getuid", lambda: -1)
    with temporary_folder() as folder:
        assert len(list(place.iterdir())) == 2
    assert len(list(place.iterdir())) == 1 and not folder.exists()


@pytest.mark.parametrize(("module", "step"), [(tempfile, "mkdtemp"), (os, "open")], ids=["made", "opened"])
def test_a_folder_that_another_process_removes_before_it_is_locked_is_made_anew(place, monkeypatch, module, step):
    do, seen = getattr(module, step), []

    def followed_by_a_removal(*what, **how):
        found = do(*what, **how)
        seen.append(set(place.iterdir()))
        if len(seen) == 1:
            temporary._remove_abandoned()
        return found

    monkeypatch.setattr(module, step, followed_by_a_removal)
    with temporary_folder() as folder:
        assert folder not in seen[0] and list(place.iterdir()) == [folder]


def test_many_at_once_do_not_take_one_anothers(place):
    def work():
        for number in range(100):
            with temporary_folder() as folder:
                (folder / "part").write_text(str(number))
                if (folder / "part").read_text() == str(number):
                    done.append(number)

    done = []
    threads = [threading.Thread(target=work) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(done) == 400 and list(place.iterdir()) == []


def test_where_nothing_can_be_locked_nothing_is_removed(place, monkeypatch):
    def refuse(descriptor, how):
        raise OSError("no locks here")

    (place / f"{temporary._prefix()}abc").mkdir()
    monkeypatch.setattr(temporary.fcntl, "flock", refuse)
    with temporary_folder():
        assert len(list(place.iterdir())) == 2
    assert len(list(place.iterdir())) == 1
