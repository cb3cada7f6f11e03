"""The command line as it is typed: what it prints, where, and with which exit status."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tau_retail_env.cli import main
from tau_retail_env.tasks import load_tasks

PROGRAM = [sys.executable, "-m", "tau_retail_env.cli"]


def start(repository: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*PROGRAM, *arguments],
        cwd=repository,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores it
    )


def test_tasks_are_listed_one_a_line_with_counts_at_the_end(capsys):
    assert main(["tasks", "--split", "train", "--subset", "returns+exchanges"]) == 0
    *lines, counts = capsys.readouterr().out.splitlines()
    expected = load_tasks("tau2", "train", "returns+exchanges")
    assert [line.split()[0] for line in lines] == [task.id for task in expected]
    assert counts.startswith(f"{len(expected)} tasks: ")


def test_a_limit_and_words_narrow_the_list(capsys):
    assert main(["tasks", "--text", "water bottle", "--limit", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("1 of 40 tasks")


def test_json_gives_whole_tasks_one_a_line(capsys):
    assert main(["tasks", "--source", "generated", "--limit", "3", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["id"] for row in rows] == ["generated/test/0", "generated/test/1", "generated/test/2"]
    assert all(row["actions"][0]["name"].startswith("find_user_id_by_") for row in rows)


def test_one_task_is_shown_whole(capsys):
    assert main(["tasks", "tau2/17"]) == 0
    shown = capsys.readouterr().out
    assert 'modify_pending_order_address(order_id="#W8665881"' in shown
    assert '"Suite 640" -> "Suite 641"' in shown
    assert main(["tasks", "tau2/17", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["id"] == "tau2/17"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["tasks", "--source", "tau3"], "'tau3'"),
        (["tasks", "--split", "tset"], "Did you mean 'test'"),
        (["tasks", "--subset", "refunds"], "'refunds'"),
        (["tasks", "--source", "generated", "--subset", "lookup"], "lookup"),
        (["tasks", "tau2/1000"], "'tau2/1000'"),
        (["play", "--task", "tau2/1000"], "'tau2/1000'"),
        (["play", "--prompt-style", "loud"], "'loud'"),
        (["oracle", "--split", "tset"], "Did you mean 'test'"),
        (["sft", "--config-name", "tau_retail_stf"], "tau_retail_stf"),
        (["sft", "tokenizer=somewhere", "max_stepz=3"], "max_stepz"),
    ],
)
def test_a_wrong_name_is_one_line_on_stderr_and_exit_2(arguments, named, capsys):
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert named in shown.err
    assert "Traceback" not in shown.err


@pytest.mark.parametrize(
    "arguments", [[], ["dance"], ["tasks", "--limit", "0"], ["play", "--seed", "-1"], ["tasks", "a", "b"]]
)
def test_wrong_usage_is_exit_2(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "usage: tau-retail" in capsys.readouterr().err


def test_a_conversation_can_be_piped_in(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO("Hello, what can I do for you?\n/quit\n"))
    assert main(["play", "--task", "tau2/17", "--seed", "1"]) == 0
    shown = capsys.readouterr().out
    assert "you> Hello, what can I do for you?" in shown
    assert shown.count("customer> ") == 2
    assert "not scored" in shown


def test_the_same_seed_picks_the_same_task_and_words(monkeypatch, capsys):
    shown = []
    for seed in ("4", "4", "5"):
        monkeypatch.setattr(sys, "stdin", io.StringIO(""))
        assert main(["play", "--source", "generated", "--subset", "returns", "--seed", seed]) == 0
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1] != shown[2]


def test_the_oracle_earns_the_reward_and_is_counted_by_subset(capsys):
    assert main(["oracle", "--source", "generated", "--limit", "8"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].split() == ["all", "8", "of", "8"]
    assert {line.split()[0] for line in lines} >= {"single", "multi"}


def test_a_failing_oracle_is_named_and_exit_1(monkeypatch, capsys):
    monkeypatch.setattr("tau_retail_env.episodes.agents.OracleAgent.act", lambda self, *seen: "Lovely weather today.")
    assert main(["oracle", "--subset", "address", "--limit", "1"]) == 1
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first.startswith("tau2/17: reward 0, ")
    assert "missing_writes" in first
    assert last.split() == ["all", "0", "of", "1"]


def test_a_reader_that_goes_away_is_no_error(repository):
    process = start(repository, "tasks", "--source", "generated", "--split", "train")
    assert process.stdout.readline().startswith("generated/train/0 ")
    process.stdout.close()
    assert process.wait(timeout=60) == 141
    assert process.stderr.read() == ""


def test_ctrl_c_is_exit_130_without_a_traceback(repository):
    process = start(repository, "play", "--task", "tau2/17")
    assert process.stdout.readline().startswith("Task tau2/17")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in out + err
