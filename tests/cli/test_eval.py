"""`tau-retail eval`, `compare` and `convert` as they are typed."""

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

from tau_retail_env import TauRetailEnv, load_tasks
from tau_retail_env.cli import main
from tau_retail_env.errors import InvalidValueError, MissingDependencyError
from tau_retail_env.evaluation.record import EPISODES, RESULTS, read_episodes
from tau_retail_env.evaluation.upstream.tau2 import task_rows
from tau_retail_env.runs import bar
from tau_retail_env.runs.folder_lock import FolderLock
from tau_retail_env.runs.trajectories import read_trajectories
from tests.agents.served_oracle import ServedOracle
from tests.users.llm.server import ChatServer, always

LIMIT = ["--subset", "exchanges", "--limit", "3"]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "evaluation"


def run(folder, *arguments):
    return main(["eval", *LIMIT, "--output", str(folder), *arguments])


def results(folder):
    return json.loads((folder / RESULTS).read_text())


def keys(folder):
    return [(one.trajectory.task_id, one.trial) for one in read_episodes(folder / EPISODES)]


def test_an_agent_is_played_and_told_with_intervals(folder, capsys):
    assert run(folder, "--agent", "oracle", "--trials", "2") == 0
    shown = capsys.readouterr()
    assert re.search(r"pass\^2  100\.0  \[40\.8, 100\.0\]\n", shown.out)
    assert "6 episodes now" in shown.err
    found = results(folder)
    assert found["pass^1"]["value"] == 1.0
    expected = {"agent": "oracle", "source": "tau2", "task_version": "0.2", "split": "test", "tasks": 3, "trials": 2}
    assert found | expected == found


def test_without_a_terminal_it_says_in_plain_lines_how_far_it_is(folder, capsys, monkeypatch):
    monkeypatch.setattr(bar, "LINE_EVERY_S", 0.0)
    assert run(folder, "--agent", "silent") == 0
    told = capsys.readouterr().err
    assert re.search(r"^3 of 3 episodes after \d+ s, pass\^1 0\.0 \[0\.0, ", told, re.M)
    assert not re.search(r"[\r\x1b]", told)


def test_the_agent_of_the_page_on_evaluation_is_played_from_the_present_folder(repository, folder, tmp_path):
    page = (repository / "docs" / "evaluation.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "my_agents.py").write_text(program, encoding="utf-8")
    command = [sys.executable, "-m", "tau_retail_env", "eval", *LIMIT, "--output", str(folder), "--agent"]
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    subprocess.run([*command, "my_agents:make"], cwd=tmp_path, env=environment, check=True, capture_output=True)
    assert results(folder)["episodes"]["scored"] == 3


def test_its_episodes_are_listed_and_shown_by_play(folder, capsys):
    run(folder, "--agent", "silent")
    capsys.readouterr()
    assert main(["play", "--recorded", str(folder)]) == 0
    assert len(capsys.readouterr().out.splitlines()) > 1
    assert main(["play", "--recorded", str(folder), "--open", "1"]) == 0
    assert "Reward: 0.0" in capsys.readouterr().out


def test_an_agent_that_cannot_be_made_leaves_no_folder(folder, capsys):
    assert run(folder, "--agent", "no_such_module:make") == 2
    assert "no_such_module" in capsys.readouterr().err
    assert not folder.exists()


def test_the_same_command_finds_its_folder_and_plays_nothing_again(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["eval", *LIMIT, "--agent", "silent"]) == 0
    assert main(["eval", *LIMIT, "--agent", "silent"]) == 0
    assert "3 of 3 episodes are there" in capsys.readouterr().err
    assert len(os.listdir(tmp_path / "outputs" / "eval")) == 1


def test_another_evaluations_folder_is_exit_2(folder, capsys):
    run(folder, "--agent", "silent")
    assert run(folder, "--agent", "parrot") == 2
    assert "agent ('silent' there, 'parrot' here)" in capsys.readouterr().err


def test_a_served_model_is_played_in_threads(folder):
    pytest.importorskip("openai", reason="needs the package openai")
    tasks = load_tasks("tau2", "test", "exchanges")[:3]
    env = TauRetailEnv(tasks=tasks)
    with ChatServer() as server:
        oracle = ServedOracle(tasks, {task.id: env.reset(task.id, seed=0)[0] for task in tasks})
        asked, second = itertools.count(1), threading.Event()

        def reply(request):
            if next(asked) == 2:
                second.set()
            second.wait(30)  # on a busy machine the first may be answered before the second is asked
            return oracle(request)

        server.reply = reply
        prices = ["--usd-per-million-tokens", "1", "2"]
        assert run(folder, "--agent", server.base_url, "--model", "tiny", "--temperature", "0", *prices) == 0
        assert server.most_at_once > 1
    found = results(folder)
    assert (found["model"], found["pass^1"]["value"]) == ("tiny", 1.0)
    assert found["cost_usd"]["agent"] > 0
    assert found["per_episode"]["agent_completion_tokens"] > 0


def test_a_server_that_dies_in_the_middle_leaves_what_was_played_and_the_command_goes_on(folder, capsys):
    pytest.importorskip("openai", reason="needs the package openai")
    tasks = load_tasks("tau2", "test", "exchanges")[:3]
    env = TauRetailEnv(tasks=tasks)
    with ChatServer() as server:
        server.reply = ServedOracle(tasks, {task.id: env.reset(task.id, seed=0)[0] for task in tasks})
        who = ["--concurrency", "1", "--agent", server.base_url, "--model", "tiny"]
        calls_of_two_episodes = calls(tasks[:2])
        server.plan = lambda order: None if order < calls_of_two_episodes else "401"
        assert run(folder, *who) == 2
        assert "gave no usable answer" in capsys.readouterr().err
        assert len(keys(folder)) == 2
        assert results(folder)["episodes"]["not_played"] == 1
        server.plan = lambda order: None
        assert run(folder, *who) == 0
    assert sorted(keys(folder)) == sorted((task.id, 0) for task in tasks)


@pytest.mark.parametrize(
    "words",
    [
        ["--temperature", "nan"],
        ["--temperature", "inf"],
        ["--temperature=-1"],
        ["--top-p", "0"],
        ["--top-p", "1.5"],
        ["--top-k=-1"],
        ["--usd-per-million-tokens", "nan", "1"],
    ],
)
def test_a_number_that_cannot_be_meant_is_refused_before_a_folder_is_made(folder, capsys, words):
    with pytest.raises(SystemExit, match="2"):
        run(folder, "--agent", "small", *words)
    assert f"argument {words[0].partition('=')[0]}: must be a " in capsys.readouterr().err
    assert not folder.exists()


def test_an_agent_that_goes_to_another_directory_takes_no_file_along(tmp_path, monkeypatch):
    (tmp_path / "movers.py").write_text(
        "import os\n\nclass Mover:\n    def act(self, observation, info):\n"
        f"        os.chdir({str(tmp_path.parent)!r})\n        return 'Goodbye.'\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert run("here", "--agent", "movers:Mover", "--limit", "1") == 0
    assert {one.name for one in (tmp_path / "here").iterdir()} == {"eval.json", "episodes.jsonl", "results.json"}


def test_vllm_that_is_not_here_is_told_where_it_is_looked_for(folder, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("tau_retail_env.models.interpreters.checkout", lambda: tmp_path)
    monkeypatch.setattr("tau_retail_env.models.serving.engines._installed_here", lambda names: None)
    assert run(folder, "--agent", "small", "--engine", "vllm") == 2
    told = capsys.readouterr().err
    assert "vLLM is neither in this Python nor in .venv-roll: ./run_tau_retail_pipeline.sh" in told
    assert "makes that; --engine transformers plays without it" in told


def needs_the_newest():
    try:
        load_tasks("tau2", "base", task_version="1.0")
    except (MissingDependencyError, InvalidValueError) as error:
        pytest.skip(f"needs τ² 1.0: {error}")


def test_a_model_judges_the_sentences_of_1_0_and_one_that_does_not_answer_stops_the_command(folder, capsys):
    pytest.importorskip("openai", reason="needs the package openai")
    needs_the_newest()
    judged = ["--split", "base", "--subset", "all", "--limit", "3", "--task-version", "1.0", "--agent", "oracle"]
    with ChatServer() as server:
        no = {"expectedOutcome": "…", "reasoning": "…", "metExpectation": False}
        server.reply = lambda request: json.dumps({"results": [no]})
        judge = ["--nl-judge", "openai", "--nl-judge-model", "tiny"]
        judge += ["--nl-judge-config", f"base_url={server.base_url}", "max_retries=0"]
        assert run(folder, *judged, *judge) == 0
    assert [one.trajectory.reward for one in read_episodes(folder / EPISODES)] == [1.0, 1.0, 0.0]
    assert results(folder)["judge"]["model"] == "tiny"
    assert run(folder, *judged) == 2
    assert "judge" in capsys.readouterr().err
    assert run(folder.with_name("another"), *judged, *judge) == 2
    told = capsys.readouterr().err
    assert "--nl-judge 'openai': --nl-judge-config base_url: http" in told and "--user" not in told
    assert "does not answer" in told and "take --nl-judge rules" in told


def calls(tasks):
    """How many messages the oracle needs for these tasks."""
    from tau_retail_env.agents.oracle import OracleAgent
    from tau_retail_env.episodes.plan import EpisodeRequest
    from tau_retail_env.episodes.player import play_episode

    env = TauRetailEnv(tasks=tasks)
    played = [play_episode(env, OracleAgent(task), EpisodeRequest(task.id, 0)) for task in tasks]
    return int(sum(one.metrics["turns"] for one in played))


def test_a_customer_that_never_answers_leaves_nothing_to_score(folder, capsys):
    with ChatServer(models=["tiny"]) as server:
        server.plan = lambda order: None if order == 0 else "500"
        how = ["--user", f"base_url={server.base_url}", "max_retries=0"]
        user = ["--user-strategy", "llm", "--user-model", "tiny", *how]
        assert run(folder, "--agent", "silent", *user) == 1
    assert "3 unscorable" in capsys.readouterr().out
    assert results(folder)["undefined"] == {"1": "undefined: no episode was scored"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--agent", "orcale"], "Did you mean 'oracle'"),
        (["--agent", "silent", "--temperature", "1"], "has no model to sample from"),
        (["--agent", "silent", "--engine", "vllm"], "is no checkpoint; leave them out"),
        (["--agent", "silent", "--usd-per-million-tokens", "1", "2"], "is no server that is paid; leave it out"),
        (["--agent", "silent", "--model", "tiny"], "--model tiny: silent is no server's address"),
        (["--agent", "http://127.0.0.1:1/v1"], "name the model that is to be asked there"),
        (["--agent", "silent", "--api-key-env", "KEY"], "is no server that asks for a key; leave it out"),
        (["--agent", "silent", "--prompt-style", "compressed"], "--prompt-style: silent reads no prompt; leave it out"),
        (["--agent", "small", "--top-p", "0.9"], "--top-p: at temperature 0 the likeliest token is taken always"),
        (["--agent", "small", "--temperature", "0", "--top-k", "5"], "--top-k: at temperature 0 the likeliest"),
    ],
)
def test_options_that_do_not_fit_are_exit_2(folder, capsys, arguments, words):
    assert run(folder, *arguments) == 2
    assert words in capsys.readouterr().err
    assert not folder.exists()


def test_a_folder_in_use_is_told_by_the_commands_own_option(folder, capsys):
    with FolderLock(folder):
        assert run(folder, "--agent", "silent") == 2
    assert "another process is writing to it. Wait until it ends, or give another: --output FOLDER" in (
        capsys.readouterr().err
    )


def test_power_plays_nothing(capsys):
    assert main(["eval", "--power", "--split", "base"]) == 0
    assert "a difference of  5 points: 7 trials a task" in capsys.readouterr().out


def test_ctrl_c_writes_the_partial_report_and_the_same_command_goes_on(folder, repository):
    command = ["eval", "--agent", "oracle", "--trials", "40", "--concurrency", "2", "--output", str(folder), *LIMIT]
    program = subprocess.Popen(
        [sys.executable, "-m", "tau_retail_env.cli", *command],
        cwd=repository,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    end = time.monotonic() + 120
    while not (folder / EPISODES).is_file() or len(keys(folder)) < 3:
        assert time.monotonic() < end
        time.sleep(0.01)
    program.send_signal(signal.SIGINT)
    out, err = program.communicate(timeout=60)
    assert (program.returncode, "interrupted" in err) == (130, True)
    assert "PARTIAL" in out
    before = keys(folder)
    assert results(folder)["episodes"]["scored"] == len(before) < 120
    assert main(command) == 0
    assert keys(folder)[: len(before)] == before
    assert sorted(set(keys(folder))) == sorted(keys(folder))
    assert len(keys(folder)) == 120


def test_evaluations_are_compared_and_converted_both_ways(tmp_path, capsys):
    run(tmp_path / "a", "--agent", "silent", "--trials", "2")
    run(tmp_path / "b", "--agent", "oracle", "--trials", "2")
    assert main(["convert", str(tmp_path / "b"), "--to", "tau2", "--output", str(tmp_path / "results.json")]) == 0
    capsys.readouterr()
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b"), str(tmp_path / "results.json"), "--json"]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["difference"], second["difference"]) == (1.0, 1.0)
    assert main(["compare", str(tmp_path / "b"), str(tmp_path / "results.json")]) == 0
    assert "no difference shown" in capsys.readouterr().out
    assert main(["convert", str(tmp_path / "results.json"), "--to", "tau2", "--output", str(tmp_path / "again")]) == 2
    assert "is a file; an evaluation is a folder with eval.json, play one with" in capsys.readouterr().err
    words = ["convert", str(tmp_path / "results.json"), "--to", "trajectories", "--judge", "--output"]
    assert main([*words, str(tmp_path / "back.jsonl")]) == 0
    assert "0 of 6 rewards differ" in capsys.readouterr().out
    assert {one.reward for one in read_trajectories(tmp_path / "back.jsonl")} == {1.0}
    assert main([*words, str(tmp_path / "back.jsonl")]) == 2
    assert "is there already" in capsys.readouterr().err
    assert main([*words, str(tmp_path / "other.jsonl"), "--task-version", "9"]) == 2
    assert "Unknown --task-version of source 'tau2' '9'; known: 0.2, 1.0, verified, custom" in capsys.readouterr().err
    assert not (tmp_path / "other.jsonl").exists()


def test_episodes_that_are_judged_as_another_version_are_said_to_be(tmp_path, capsys):
    needs_the_newest()
    run(tmp_path / "a", "--agent", "oracle")
    assert "The tasks are those of 0.2, the default" in capsys.readouterr().err
    assert main(["convert", str(tmp_path / "a"), "--to", "tau2", "--output", str(tmp_path / "results.json")]) == 0
    words = ["convert", str(tmp_path / "results.json"), "--to", "trajectories", "--output", str(tmp_path / "t.jsonl")]
    assert main([*words, "--judge", "--task-version", "1.0"]) == 0
    told = "3 episodes of 0.2 are judged as 1.0, and say so in place of their own version"
    assert told in capsys.readouterr().out
    assert {one.task_version for one in read_trajectories(tmp_path / "t.jsonl")} == {"1.0"}


@pytest.mark.parametrize(
    ("arguments", "unread"),
    [
        ("A --to tau2 --judge --email me@example.com", "--email, --judge"),
        ("A --to tau-bench --folder", "--folder"),
        ("A --to submission --judge", "--judge"),
        ("results.json --to trajectories --task-version 1.0", "--task-version"),
        ("results.json --to trajectories --judge --notes trained", "--notes"),
        ("A --to trl --subset returns --task-version 1.0", "--subset, --task-version"),
        ("tau2 --to verl --type standard", "--type"),
    ],
)
def test_options_that_a_conversion_would_not_read_are_refused(arguments, unread, tmp_path, capsys):
    assert main(["convert", *arguments.split(), "--output", str(tmp_path / "out")]) == 2
    written = arguments.split(" --")[1]
    start = f"error: convert {arguments.split()[0]} --{written} does not read {unread}: leave it out"
    assert capsys.readouterr().err.startswith(start)
    assert not (tmp_path / "out").exists()


def test_one_side_that_is_no_run_is_exit_2(folder, capsys):
    run(folder, "--agent", "silent")
    assert main(["compare", str(folder)]) == 2
    assert "give two sides" in capsys.readouterr().err


def test_a_submission_asks_for_what_the_leaderboard_wants(folder, tmp_path, capsys):
    run(folder, "--agent", "silent")
    words = ["convert", str(folder), "--to", "submission", "--output", str(tmp_path / "s")]
    assert main(words) == 2
    assert "--to submission needs --model-organization, --organization, --email" in capsys.readouterr().err
    who = ["--model-organization", "us", "--organization", "us", "--email", "a@example.org"]
    assert main([*words, *who]) == 2
    assert "needs --notes" in capsys.readouterr().err


def test_an_evaluation_is_reviewed(folder, capsys):
    run(folder, "--agent", "liar")
    capsys.readouterr()
    assert main(["review", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert "success 0.0% of 3 episodes" in shown
    assert "3 policy" in shown


@pytest.mark.parametrize("words", [["review"], ["review", "somewhere", "--customer"]])
def test_review_takes_what_was_played_or_plays_itself(words, capsys):
    assert main(words) == 2
    assert "Give either what was played, such as outputs/eval/A, or --customer" in capsys.readouterr().err


def test_tasks_of_another_edition_than_the_played_one_are_refused(folder, tmp_path, capsys):
    run(folder, "--agent", "silent")
    given, written = tmp_path / "tasks.json", tmp_path / "results.json"
    rows = task_rows()
    for row in rows:
        row["evaluation_criteria"]["communicate_info"] = ["42"]
    given.write_text(json.dumps(rows))
    capsys.readouterr()
    words = ["convert", str(folder), "--to", "tau2", "--output", str(written)]
    assert main([*words, "--tasks", str(given)]) == 2
    assert "The tasks given are not those that were played (tasks 0.2)" in capsys.readouterr().err
    assert not written.exists()
    assert main(words) == 0


@pytest.mark.parametrize("written", [True, False])
def test_a_key_in_the_path_of_an_agents_and_a_customers_server_stands_nowhere(written, tmp_path, monkeypatch, capsys):
    pytest.importorskip("openai", reason="needs the package openai")
    monkeypatch.setattr(os, "environ", os.environ.copy())
    keys = {"MY_TOKEN": "gk7Hq2mZx9RtLw4Vb8Nc", "OTHER_TOKEN": "Zt5Yp8Lk2Qw9Xc3Vb6Nm"}
    for name, key in () if written else keys.items():
        monkeypatch.setenv(name, key)
    own, other = keys.values() if written else (f"${name}" for name in keys)
    bye = {"reply": lambda request: "###STOP###" if len(request.messages) > 2 else "Hello"}
    with ChatServer(under=f"/{keys['MY_TOKEN']}") as agent, ChatServer(under=f"/{keys['OTHER_TOKEN']}", **bye) as user:
        who = ["--agent", f"http://127.0.0.1:{agent.port}/{own}/v1", "--model", "tiny", "--user-strategy", "llm"]
        who += ["--user-model", "tiny", "--user", f"base_url=http://127.0.0.1:{user.port}/{other}/v1", "max_retries=0"]
        out = tmp_path / "out"
        assert run(out, *who) == 0
        assert agent.requests and user.requests
        assert run(out, *who) == 0, "the same command goes on"
        assert main(["report", str(out), "--output", str(tmp_path / "report.html")]) == 0
        user.plan = always("400_path")
        assert run(tmp_path / "refused", *who) == 1
    assert run(tmp_path / "gone", *who) == 2
    with pytest.raises(SystemExit):
        run(tmp_path / "mistyped", "--agnt", *who[1:])
    shown = capsys.readouterr()
    for server in (agent, user):
        assert f"http://127.0.0.1:{server.port}/" in shown.out + shown.err, "the host is named"
    assert f"http://127.0.0.1:{agent.port}/$" in (out / "results.json").read_text()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    told = shown.out + shown.err + "".join(f"{path} {path.read_text()}" for path in files)
    assert len(files) > 3 and not any(key in told for key in keys.values())
