"""How a run ends before its time, and that a lost reader does not end it."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from tau_retail_env.runs import interruption
from tau_retail_env.runs.folder import Engine, RunFolder
from tau_retail_env.runs.interruption import resumable

ENGINE = Engine(before_first=0, may_differ=frozenset(), damage_without_manifest=lambda checkpoint: None)
SPEAKER = textwrap.dedent(
    """
    import sys
    from tau_retail_env.runs.interruption import say

    for number in range(20_000):
        say(f"line {number}")
    sys.stderr.write("finished")
    """
)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "run", ENGINE)


@pytest.mark.parametrize("is_begun", [True, False])
def test_sigterm_ends_a_run_with_143_and_a_run_that_was_begun_says_how_to_go_on(folder: RunFolder, is_begun: bool):
    said: list[str] = []
    before = signal.getsignal(signal.SIGTERM)
    if is_begun:
        folder.open("exp_name: short\n")
    with pytest.raises(SystemExit) as ended, resumable(folder.path, said.append):
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()
    assert ended.value.code == 143
    assert said == ([f"interrupted; resume with: resume={folder.path}"] if is_begun else [])
    assert signal.getsignal(signal.SIGTERM) is before


def test_within_what_is_to_be_finished_the_first_signal_waits_and_says_so(folder: RunFolder):
    said: list[str] = []
    done = []
    with pytest.raises(SystemExit) as ended, resumable(folder.path, said.append) as asked, asked.finishing():
        os.kill(os.getpid(), signal.SIGTERM)
        assert asked.is_asked and not asked.is_clean
        done.append("update")
        asked.end_if_asked()
    assert ended.value.code == 143
    assert asked.is_clean
    assert done == ["update"]
    assert said == ["interrupted: this step is finished and saved first; once more ends the run at once"]


def test_what_may_be_left_is_left_at_once_also_where_the_signal_came_before_it(folder: RunFolder):
    for early in (True, False):
        with pytest.raises(SystemExit), resumable(folder.path, lambda line: None) as asked, asked.finishing():
            if early:
                os.kill(os.getpid(), signal.SIGTERM)
            with asked.leaving():
                assert not early
                os.kill(os.getpid(), signal.SIGTERM)
                signal.pause()
        assert asked.is_clean


def test_signals_within_a_moment_are_one_and_a_later_one_ends_at_once(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
):
    """`timeout` sends one to its command and one to the command's group."""
    with pytest.raises(SystemExit), resumable(folder.path, lambda line: None) as asked, asked.finishing():
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGTERM)
        monkeypatch.setattr(interruption, "AGAIN_S", 0.0)
        assert not asked.is_clean
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()
    assert not asked.is_clean


@pytest.mark.parametrize("is_asked", [True, False])
def test_what_cannot_be_finished_any_more_ends_at_once(folder: RunFolder, is_asked: bool):
    """As where a machine of the run is gone; another thread says so."""
    with pytest.raises(SystemExit) as ended, resumable(folder.path, lambda line: None) as asked, asked.finishing():
        if is_asked:
            os.kill(os.getpid(), signal.SIGTERM)
        thread = threading.Thread(target=asked.end_lost)
        thread.start()
        thread.join()
        signal.pause()
    assert ended.value.code == 143
    assert not asked.is_clean


@pytest.mark.parametrize(("is_asked", "status"), [(True, 143), (False, 3)])
def test_a_library_that_makes_another_exit_of_sigterm_does_not_change_the_status(
    folder: RunFolder, is_asked: bool, status: int
):
    with pytest.raises(SystemExit) as ended, resumable(folder.path, lambda line: None) as asked, asked.finishing():
        if is_asked:
            os.kill(os.getpid(), signal.SIGTERM)
        raise SystemExit(3)
    assert ended.value.code == status


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_that_was_ignored_stays_ignored(folder: RunFolder, number: signal.Signals):
    """As in a background process of a shell, whose terminal's Ctrl-C is for others, and below `nohup`."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with resumable(folder.path, lambda line: None) as asked:
            os.kill(os.getpid(), number)
        assert not asked.is_asked
    finally:
        signal.signal(number, before)


def test_a_terminal_that_closes_ends_a_run_as_sigterm_does_with_its_own_status(folder: RunFolder):
    before = signal.getsignal(signal.SIGHUP)
    with pytest.raises(SystemExit) as ended, resumable(folder.path, lambda line: None) as asked, asked.finishing():
        os.kill(os.getpid(), signal.SIGHUP)
        asked.end_if_asked()
    assert ended.value.code == 129
    assert signal.getsignal(signal.SIGHUP) is before


def test_an_error_says_nothing_of_its_own(folder: RunFolder):
    said: list[str] = []
    folder.open("exp_name: short\n")
    with pytest.raises(RuntimeError), resumable(folder.path, said.append):
        raise RuntimeError("a GPU fell over")
    assert said == []


def test_lines_that_nobody_reads_end_nothing(repository: Path):
    process = subprocess.Popen(
        [sys.executable, "-c", SPEAKER],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(repository)},
    )
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline() == "line 0\n"
    process.stdout.close()
    assert process.stderr.read() == "finished"
    assert process.wait(60) == 0


def test_a_line_is_there_at_once_even_if_the_process_dies_right_after(repository: Path):
    program = "import os; from tau_retail_env.runs.interruption import say; say('step 1'); os._exit(9)"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(repository), "PYTHONUNBUFFERED": ""},
        check=False,
    )
    assert (ended.stdout, ended.returncode) == ("step 1\n", 9)
