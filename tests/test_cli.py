"""The command line as it is typed: what it prints, where, and with which exit status."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tau_retail_env.cli import main
from tau_retail_env.tasks import load, load_tasks, upstream_tau_bench
from tau_retail_env.world import opening

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
        (["tasks", "--subset", "payment", "--split", "train"], "It has tasks in split: base, test."),
        (["tasks", "--subset", "single*"], "known: all, returns"),
        (["tasks", "tau2/1000"], "'tau2/1000'"),
        (["tasks", "tau2"], "Unknown task_id 'tau2/tau2'"),
        (["tasks", "tau2/12", "--split", "test", "--limit", "3"], "leave out --split, --limit, or the id"),
        (["subsets", "--source", "tau3"], "'tau3'"),
        (["play", "--task", "tau2/1000"], "'tau2/1000'"),
        (["play", "--task", "tau2/12", "--subset", "returns"], "leave out --subset, or the id"),
        (["play", "--as", "customer", "--subset", "refunds"], "'refunds'"),
        (["play", "--as", "customer", "--prompt-style", "full"], "--prompt-style"),
        (["play", "--prompt-style", "loud"], "'loud'"),
        (["oracle", "--source", "generated", "--subset", "transfer"], "No split of this source has any"),
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
    ("arguments", "named"),
    [
        ([], "COMMAND"),
        (["dance"], "'dance'"),
        (["tasks", "--limit", "0"], "a whole number from 1 on, found '0'"),
        (["tasks", "--limit", "-3"], "a whole number from 1 on, found '-3'"),
        (["play", "--seed", "-1"], "a whole number from 0 on, found '-1'"),
        (["oracle", "--seed", "many"], "a whole number from 0 on, found 'many'"),
        (["play", "--as", "shop"], "'shop'"),
        (["tasks", "a", "b"], "b"),
    ],
)
def test_wrong_usage_is_exit_2(arguments, named, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    shown = capsys.readouterr().err
    assert "usage: tau-retail" in shown
    assert named in shown


@pytest.fixture
def no_tau_bench(monkeypatch, tmp_path):
    """τ-bench v1 is in none of the places where it could be."""
    monkeypatch.delenv(upstream_tau_bench.PATH_VARIABLE, raising=False)
    monkeypatch.setattr(upstream_tau_bench, "SUBMODULE", tmp_path)
    monkeypatch.setattr(upstream_tau_bench.importlib.util, "find_spec", lambda name: None)
    load._all_tasks.cache_clear()
    opening._shop_of.cache_clear()
    yield
    load._all_tasks.cache_clear()
    opening._shop_of.cache_clear()


@pytest.mark.parametrize(
    "arguments",
    [
        ["tasks", "--source", "tau_bench"],
        ["tasks", "tau_bench/test/12"],
        ["subsets", "--source", "tau_bench"],
        ["play", "--source", "tau_bench"],
        ["play", "--as", "customer", "--task", "tau_bench/test/12"],
        ["oracle", "--source", "tau_bench"],
    ],
)
def test_a_source_that_is_not_there_is_exit_2_with_what_brings_it(arguments, no_tau_bench, capsys):
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "git submodule update --init" in shown.err
    assert "TAU_BENCH_PATH" in shown.err


def test_subsets_are_counted_for_the_sources_that_are_there(no_tau_bench, capsys):
    assert main(["subsets"]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("| subset | tau2 train | tau2 test | tau2 base | generated train | generated test |")
    assert shown.err.startswith("without source 'tau_bench': ")


def test_the_table_in_the_documents_is_what_the_command_prints(repository, capsys):
    documented = columns((repository / "docs" / "tasks.md").read_text(encoding="utf-8"))
    assert main(["subsets"]) == 0
    printed = columns(capsys.readouterr().out)
    assert {name: documented[name] for name in printed} == printed
    assert set(documented) - set(printed) <= {"tau_bench train", "tau_bench test", "tau_bench dev"}


def test_the_table_in_the_documents_holds_for_v1(tau_bench, repository, capsys):
    documented = columns((repository / "docs" / "tasks.md").read_text(encoding="utf-8"))
    assert main(["subsets", "--source", "tau_bench"]) == 0
    printed = columns(capsys.readouterr().out)
    assert {name: documented[name] for name in printed} == printed
    assert printed["tau_bench test"][0] == "115"


def columns(text: str) -> dict[str, tuple[str, ...]]:
    """The columns of the last Markdown table that begins with "subset", by their heads."""
    lines = text[text.rindex("| subset |") :].split("\n\n")[0].strip().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert all(len(row) == len(rows[0]) for row in rows)
    return {head: tuple(rest) for head, _, *rest in zip(*rows, strict=True)}


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


def test_a_person_can_be_the_customer(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO("My order never came.\n/quit\n"))
    assert main(["play", "--as", "customer", "--source", "generated", "--seed", "4"]) == 0
    shown = capsys.readouterr().out
    assert "You are the customer" in shown
    assert "agent> Please give me your email" in shown
    assert "not scored" in shown


def test_nobody_plays_and_the_oracle_is_watched(capsys):
    assert main(["play", "--as", "nobody", "--task", "tau2/17", "--seed", "3"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("Task tau2/17, seed 3. The oracle agent plays.")
    assert "Reward: 1.0" in shown


def test_bytes_that_are_no_text_are_said_as_they_can_be(repository):
    process = start(repository, "play", "--task", "tau2/17")
    process.stdin.buffer.write(b"\xff\xfe hello\n/quit\n")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert "hello" in out


def test_no_input_at_all_is_a_way_to_leave(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["play", "--task", "tau2/17"]) == 0
    assert "not scored" in capsys.readouterr().out


def test_a_screen_that_knows_few_letters_shows_what_it_can(repository):
    answer = subprocess.run(
        [*PROGRAM, "tasks", "--limit", "3"],
        cwd=repository,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert (answer.returncode, answer.stderr) == (0, b"")
    assert answer.stdout.startswith(b"tau2/")


def test_v1_is_listed_shown_and_played(tau_bench, monkeypatch, capsys):
    assert main(["tasks", "--source", "tau_bench", "--split", "dev"]) == 0
    assert capsys.readouterr().out.startswith("tau_bench/dev/0 ")
    assert main(["tasks", "tau_bench/test/12"]) == 0
    assert "fails: Error: payment method should be" in capsys.readouterr().out
    monkeypatch.setattr(sys, "stdin", io.StringIO("/transfer_to_human_agents summary=Paypal\n"))
    assert main(["play", "--task", "tau_bench/test/12"]) == 0
    assert "Reward: 1.0" in capsys.readouterr().out
    assert main(["oracle", "--source", "tau_bench", "--subset", "address*single", "--limit", "2"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split() == ["all", "2", "of", "2"]


def test_a_package_that_is_not_installed_is_named_and_doctor_recommended(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tau_retail_env.terminal", None)
    monkeypatch.delitem(sys.modules, "tqdm", raising=False)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert main(["oracle", "--limit", "1"]) == 2
    shown = capsys.readouterr().err
    assert "tqdm" in shown
    assert "tau-retail doctor" in shown
    with pytest.raises(ModuleNotFoundError):
        main(["play"])


def test_doctor_says_by_its_exit_status_whether_a_run_can_work(monkeypatch, tmp_path, capsys):
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out.startswith("The default run can work.")
    monkeypatch.setattr("tau_retail_env.doctor.surroundings.PACKAGE_FOLDER", tmp_path / "elsewhere")
    assert main(["doctor", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["can_run"] is False
    first = report["findings"][0]
    assert (first["status"], first["name"]) == ("wrong", "configs/tau_retail_local.yaml")


def test_the_oracle_earns_the_reward_and_is_counted_by_subset(capsys):
    assert main(["oracle", "--source", "generated", "--limit", "8"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].split() == ["all", "8", "of", "8"]
    assert {line.split()[0] for line in lines} >= {"single", "multi"}


def test_a_failing_oracle_is_named_and_exit_1(monkeypatch, capsys):
    monkeypatch.setattr("tau_retail_env.episodes.agents.OracleAgent.act", lambda self, *seen: "Lovely weather today.")
    assert main(["oracle", "--subset", "address", "--limit", "1"]) == 1
    shown = capsys.readouterr()
    first, *_, last = shown.out.splitlines()
    assert first.startswith("tau2/17: reward 0, ")
    assert "tau-retail play --as nobody --task tau2/17 --seed 0" in shown.err
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
