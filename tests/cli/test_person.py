"""A person as the customer of a command: the end of the input ends it as Ctrl-C does, and what was played is kept."""

import gc
import io
import json
import os
import pty
import subprocess
import sys

import pytest

from tau_retail_env.cli import main
from tau_retail_env.evaluation.record import EPISODES, RESULTS, read_episodes
from tau_retail_env.runs.trajectories import read_trajectories

LEFT = "interrupted: the person who plays the customer has left: the input has ended"
PERSON = ["--user-strategy", "human"]
ONE_WHOLE = "Hi\n/stop Bye\n"
"""The lines of one conversation with a silent agent."""


@pytest.fixture
def types(monkeypatch):
    """Lets a person type lines, and then end the input; the customers of commands before are gone by then."""

    def type_lines(lines):
        gc.collect()
        monkeypatch.setattr(sys, "stdin", io.StringIO(lines))

    return type_lines


def evaluate(folder, *words):
    return main(["eval", "--agent", "silent", "--limit", "3", "--output", str(folder), *PERSON, *words])


@pytest.mark.parametrize("begun", ["", "Hi\n"], ids=["before a conversation", "within one"])
def test_the_end_of_the_input_ends_an_evaluation_at_once_and_keeps_what_was_played(types, begun, tmp_path, capsys):
    types(ONE_WHOLE + begun)
    assert evaluate(tmp_path / "e") == 130
    shown = capsys.readouterr()
    assert shown.err.endswith(f"\n{LEFT}\n")
    assert shown.err.count("Task tau2/") == 2, "no third conversation is begun"
    assert "PARTIAL: 2 not played; the same command goes on" in shown.out
    assert [one.trajectory.stop_reason for one in read_episodes(tmp_path / "e" / EPISODES)] == ["user_stop"]
    types(2 * ONE_WHOLE)
    assert evaluate(tmp_path / "e") == 0
    assert json.loads((tmp_path / "e" / RESULTS).read_text())["episodes"]["scored"] == 3


def test_the_end_of_the_input_ends_a_check_of_the_customer(types, tmp_path, capsys):
    types(ONE_WHOLE)
    out = tmp_path / "t.jsonl"
    assert main(["review", "--customer", *PERSON, "--episodes", "3", "--out", str(out)]) == 130
    shown = capsys.readouterr()
    assert shown.err.endswith(f"\n{LEFT}\n")
    assert "2 not played to the end" in shown.out
    assert "user_stop" in [one.stop_reason for one in read_trajectories(out)]


def test_a_person_among_several_customers_is_played_one_at_a_time(types, tmp_path):
    types(6 * ONE_WHOLE)
    weights = "{scripted: 0.5, human: 0.5}"
    assert (
        main(["eval", "--limit", "6", "--agent", "silent", "--output", str(tmp_path / "e"), "--user-strategy", weights])
        == 0
    )
    played = [one.trajectory.user_strategy for one in read_episodes(tmp_path / "e" / EPISODES)]
    assert set(played) == {"scripted", "human"}


@pytest.mark.parametrize(
    "words", [["eval", "--concurrency", "2"], ["review", "--customer", "--workers", "2"]], ids=["eval", "review"]
)
def test_a_person_plays_one_episode_at_a_time(words, tmp_path, capsys):
    words = [*words, *PERSON, *(["--output", str(tmp_path / "e")] if words[0] == "eval" else [])]
    assert main(words) == 2
    assert f"{words[-4] if words[0] == 'review' else '--concurrency'} 2: a person plays one episode at a time" in (
        capsys.readouterr().err
    )
    assert not (tmp_path / "e").exists()


def test_a_person_meets_a_checkpoint_one_episode_at_a_time(types, tmp_path):
    pytest.importorskip("transformers", reason="transformers is not installed")
    types(2 * "Hi\n/stop\n")
    short = ["--source", "generated", "--max-new-tokens", "8", "--engine", "transformers"]
    assert evaluate(tmp_path / "e", "--agent", "small", *short) in (0, 130)
    assert list(read_episodes(tmp_path / "e" / EPISODES))


def test_ctrl_c_at_the_prompt_ends_the_program_though_a_thread_reads_the_terminal(tmp_path):
    pytest.importorskip("transformers", reason="transformers is not installed")
    words = ["eval", "--agent", "small", "--engine", "transformers", "--source", "generated", "--limit", "2", *PERSON]
    parent, child = pty.openpty()
    command = [sys.executable, "-m", "tau_retail_env", *words, "--output", str(tmp_path / "e")]
    program = subprocess.Popen(
        command, stdin=child, stdout=child, stderr=child, start_new_session=True, preexec_fn=_takes_the_terminal
    )
    os.close(child)
    shown = b""
    while b"you>" not in shown:
        shown += os.read(parent, 65536)
    os.write(parent, b"\x03")
    while True:
        try:
            shown += os.read(parent, 65536)
        except OSError:  # the terminal has no other side any more
            break
    assert program.wait(timeout=60) == 130
    assert shown.endswith(b"interrupted\r\n")
    os.close(parent)


def _takes_the_terminal():
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
