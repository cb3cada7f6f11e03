"""`tau-retail generate`: the tasks that it prints are those of the series, or more of what a run failed."""

import json
from collections import Counter
from pathlib import Path

import pytest

from tau_retail_env.agents.bad import SilentAgent
from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.cli import main
from tau_retail_env.env import TauRetailEnv
from tau_retail_env.episodes.plan import EpisodeRequest
from tau_retail_env.episodes.player import play_episode
from tau_retail_env.runs.trajectories import write_trajectories
from tau_retail_env.sources.generated import SERIES2, generate_task
from tau_retail_env.tasks.files import read_tasks


def printed(capsys, *options):
    assert main(["generate", *options]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_the_tasks_of_a_split_series_and_seed_are_printed(capsys):
    assert [row["id"] for row in printed(capsys, "--num", "2")] == ["generated/train2/0", "generated/train2/1"]
    assert printed(capsys, "--num", "1", "--split", "test", "--seed", "4")[0]["id"] == "generated/test2-4/0"
    first = printed(capsys, "--num", "1", "--series", "1")[0]
    assert first["instruction"] == generate_task("train", 0).instruction


def test_what_is_printed_can_be_played(capsys, tmp_path: Path):
    assert main(["generate", "--num", "5", "--seed", "2"]) == 0
    path = tmp_path / "more.jsonl"
    path.write_text(capsys.readouterr().out, encoding="utf-8")
    tasks = read_tasks(path)
    env = TauRetailEnv(source="generated", tasks=tasks)
    assert [play_episode(env, OracleAgent(task), EpisodeRequest(task.id, 0)).reward for task in tasks] == [1.0] * 5


def test_a_file_of_tasks_is_written_and_evaluated(capsys, tmp_path: Path):
    path = tmp_path / "new" / "more.jsonl"
    assert main(["generate", "--num", "4", "--seed", "2", "--output", str(path)]) == 0
    left_out = read_tasks(path)[1].id
    chosen = ["--task-file", str(path), "--exclude-tasks", left_out]
    assert main(["eval", *chosen, "--output", str(tmp_path / "eval")]) == 0
    results = json.loads((tmp_path / "eval" / "results.json").read_text(encoding="utf-8"))
    assert (results["source"], results["split"]) == ("generated", "train2")
    assert results["tasks"] == 3
    assert results["pass^1"]["value"] == 1.0


def test_a_file_that_is_there_is_not_replaced(capsys, tmp_path: Path):
    path = tmp_path / "notes.jsonl"
    path.write_text("mine\n", encoding="utf-8")
    assert main(["generate", "--num", "4", "--output", str(path)]) == 2
    assert "notes.jsonl is there already; name another, or remove it" in capsys.readouterr().err
    assert path.read_text(encoding="utf-8") == "mine\n"


def test_more_tasks_of_the_kinds_that_a_run_failed_are_drawn(capsys, tmp_path: Path):
    tasks = [task for task in SERIES2.generate("train2", 60) if "tracking" not in task.labels]
    tasks += [task for task in SERIES2.generate("train2", 200) if "tracking" in task.labels]
    env = TauRetailEnv(source="generated", tasks=tasks)
    episodes = []
    for task in tasks:
        agent = SilentAgent() if "tracking" in task.labels else OracleAgent(task)
        episodes.append(play_episode(env, agent, EpisodeRequest(task.id, 0)))
    folder = tmp_path / "run" / "trajectories"
    folder.mkdir(parents=True)
    write_trajectories(folder / "val_000001.jsonl", episodes)
    usual, more, of_file = (
        Counter(label for row in printed(capsys, "--num", "300", *options) for label in row["labels"])
        for options in ((), ("--like", str(tmp_path / "run")), ("--like", str(folder / "val_000001.jsonl")))
    )
    assert more["tracking"] > 3 * usual["tracking"]
    assert of_file == more


def test_more_tasks_of_the_kinds_that_an_evaluation_failed_are_drawn(capsys, tmp_path: Path):
    folder = tmp_path / "eval"
    cancelled = ["--source", "generated", "--split", "test2", "--subset", "single*cancellations", "--limit", "4"]
    assert main(["eval", "--agent", "silent", *cancelled, "--output", str(folder)]) == 0
    capsys.readouterr()
    usual, *more = (
        Counter(label for row in printed(capsys, "--num", "300", *options) for label in row["labels"])
        for options in ((), *(("--like", str(folder / file)) for file in ("", "episodes.jsonl", "results.json")))
    )
    assert more[0]["cancel"] > 2 * usual["cancel"]
    assert more[1:] == more[:1] * 2


def test_the_kinds_of_a_file_of_tasks_are_known_where_the_file_is_named(capsys, tmp_path: Path):
    assert (
        main(["eval", "--agent", "liar", "--source", "generated", "--limit", "2", "--output", str(tmp_path / "A")]) == 0
    )
    harder = tmp_path / "harder.jsonl"
    assert main(["generate", "--like", str(tmp_path / "A"), "--num", "2", "--output", str(harder)]) == 0
    assert "was lost" not in capsys.readouterr().err
    assert main(["eval", "--agent", "liar", "--task-file", str(harder), "--output", str(tmp_path / "B")]) == 0
    assert main(["generate", "--like", str(tmp_path / "B")]) == 2
    assert "is in no split of a source, as tasks of a file are: name that file" in capsys.readouterr().err
    lost = {label for task in read_tasks(harder) for label in task.labels[1:]}
    usual, more = (
        sum(bool(lost & set(row["labels"])) for row in printed(capsys, "--num", "100", *options))
        for options in ((), ("--like", str(tmp_path / "B"), "--task-file", str(harder)))
    )
    assert more > 1.5 * usual > 0


def test_a_run_that_lost_nothing_is_named_as_such(capsys, tmp_path: Path):
    assert main(["eval", "--source", "generated", "--limit", "2", "--output", str(tmp_path / "A")]) == 0
    capsys.readouterr()
    assert main(["generate", "--like", str(tmp_path / "A"), "--num", "3"]) == 0
    shown = capsys.readouterr()
    assert "none of its 2 episodes was lost, so every kind is drawn as usual" in shown.err
    assert shown.out.count("\n") == 3


def test_a_split_with_the_number_of_its_series_is_told_how_to_say_it(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["generate", "--split", "train5"])
    assert "--split: train5 is --split train --series 5" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--series", "1", "--seed", "3"], "--seed and --like belong to --series 2"),
        (["--like", "tests"], "--like tests: tests is no evaluation (eval.json), no run (trajectories)"),
        (["--task-file", "tasks.jsonl"], "--task-file: only --like RUN reads it"),
        (["--like", "tests", "--task-file", "none.jsonl"], "none.jsonl cannot be read (No such file or directory)"),
        (["--like", "no/such/run"], "--like no/such/run: There is no file or folder no/such/run"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(capsys, options, words):
    assert main(["generate", *options]) == 2
    assert words in capsys.readouterr().err
