"""Conversations shown as they were recorded."""

from __future__ import annotations

import dataclasses
import io

import pytest

from tau_retail_env.cli import main
from tau_retail_env.cli.conversation import Wanted, list_recorded, show_recorded
from tau_retail_env.cli.user_options import UserChoice
from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.evaluation.user_check import play, spread
from tau_retail_env.runs.trajectories import write_trajectories
from tau_retail_env.sources import load_tasks
from tau_retail_env.tasks import SUBSETS


@pytest.fixture(scope="module")
def recorded() -> Trajectory:
    tasks = load_tasks("generated", "test")[:1]
    return play(spread(tasks, 1, 3), tasks, lambda: UserChoice().environment(tasks)).trajectories[0]


def shown(path, task_id: str, seed: int) -> tuple[int, str]:
    out = io.StringIO()
    return show_recorded(str(path), Wanted(task_id=task_id, seed=seed), out=out), out.getvalue()


def test_words_calls_and_the_end_are_shown(recorded, tmp_path):
    write_trajectories(tmp_path / "played.jsonl", [recorded])
    count, text = shown(tmp_path / "played.jsonl", recorded.task_id, 3)
    assert count == 1
    assert text.startswith(f"Task {recorded.task_id}, seed 3, customer scripted. Recorded.")
    assert "agent calls find_user_id_by_" in text
    assert text.count("customer> ") >= 3
    assert "Retail agent policy" not in text
    assert "Reward: 1.0" in text


def test_calls_that_nobody_can_read_and_messages_without_words_are_shown(recorded, tmp_path):
    calls = [
        {"id": "a", "type": "function", "function": {"name": "think", "arguments": words}} for words in ("{", "[]")
    ]
    odd = ({"role": "assistant", "tool_calls": calls}, {"role": "assistant"})
    odd_episode = dataclasses.replace(recorded, messages=odd, reward_breakdown={"database": None})
    write_trajectories(tmp_path / "played.jsonl", [odd_episode])
    _, text = shown(tmp_path / "played.jsonl", recorded.task_id, 3)
    assert "agent calls think({)\nagent calls think([])\nagent> \n" in text
    assert "database: unknown" in text
    assert main(["review", str(tmp_path / "played.jsonl")]) == 0
    assert main(["report", str(tmp_path / "played.jsonl"), "--output", str(tmp_path / "page.html")]) == 0


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (
            ["--recorded", "x.jsonl", "--agent", "oracle", "--as", "customer"],
            "with --recorded does not read --agent, --as",
        ),
        (["--recorded", "x.jsonl", "--user-model", "m"], "with --recorded does not read --user-model"),
        (["--outcome", "failure"], "without --recorded does not read --outcome"),
        (["--open", "1"], "without --recorded does not read --open"),
    ],
)
def test_an_option_that_would_change_nothing_is_refused(words, named, capsys):
    assert main(["play", *words]) == 2
    assert named in capsys.readouterr().err


def test_a_lost_episode_says_why(recorded, tmp_path):
    lost = dataclasses.replace(
        recorded,
        messages=(),
        reward=0.0,
        reward_breakdown={},
        terminated=False,
        stop_reason="user_error",
        scorable=False,
    )
    write_trajectories(tmp_path / "played.jsonl", [recorded, dataclasses.replace(lost, customer_error="HTTP 500")])
    count, text = shown(tmp_path / "played.jsonl", recorded.task_id, 3)
    assert count == 2
    assert text.rstrip().endswith("this episode must not be scored.\nHTTP 500")


def test_a_models_own_text_is_shown_as_it_is(recorded, tmp_path):
    words = {"role": "assistant", "content": '<tool_call>{"name": "think"}</tool_call>'}
    write_trajectories(tmp_path / "played.jsonl", [dataclasses.replace(recorded, messages=(words,))])
    assert f"agent> {words['content']}" in shown(tmp_path / "played.jsonl", recorded.task_id, 3)[1]


def test_another_seed_is_another_episode(recorded, tmp_path):
    write_trajectories(tmp_path / "played.jsonl", [recorded])
    assert shown(tmp_path / "played.jsonl", recorded.task_id, 4) == (0, "")


def test_the_list_names_every_episode_by_the_options_that_show_it(recorded, tmp_path):
    write_trajectories(tmp_path / "played.jsonl", [recorded, dataclasses.replace(recorded, scorable=False, seed=5)])
    options = f"--task {recorded.task_id} --seed"
    listed = list(list_recorded(str(tmp_path / "played.jsonl")))
    assert listed == [f"   1  {options} 3: reward 1.0, user_stop", f"   2  {options} 5: not scored, user_stop"]


def test_the_list_can_be_cut_down_by_outcome_and_kind_and_one_of_it_opened(recorded, tmp_path):
    failed = dataclasses.replace(recorded, seed=4, reward=0.0)
    lost = dataclasses.replace(recorded, seed=5, scorable=False)
    write_trajectories(tmp_path / "played.jsonl", [recorded, failed, lost])
    path = str(tmp_path / "played.jsonl")

    def seeds(**wanted):
        return [line.partition("--seed ")[2].partition(":")[0] for line in list_recorded(path, Wanted(**wanted))]

    assert [seeds(outcome=name) for name in ("success", "failure", "unscored")] == [["3"], ["4"], ["5"]]
    kinds = {name: bool(belongs(load_tasks("generated", "test")[0])) for name, belongs in SUBSETS.items()}
    is_kind = next(name for name, belongs in kinds.items() if belongs and name != "all")
    is_not = next(name for name, belongs in kinds.items() if not belongs)
    assert (seeds(subset=is_kind), seeds(subset=is_not)) == (["3", "4", "5"], [])
    out = io.StringIO()
    assert show_recorded(path, Wanted(outcome="failure"), number=1, out=out) == 1
    assert "seed 4" in out.getvalue()
    assert show_recorded(path, Wanted(outcome="failure"), number=2, out=out) == 0


def test_where_no_episode_is_of_the_kind_asked_for_that_is_said(recorded, tmp_path, capsys):
    write_trajectories(tmp_path / "played.jsonl", [recorded])
    assert main(["play", "--recorded", str(tmp_path / "played.jsonl"), "--outcome", "failure"]) == 0
    assert capsys.readouterr().out.endswith(
        "holds no such episode; leave out --outcome and --subset to see what it holds\n"
    )


def test_a_runs_folder_stands_for_its_last_validation_and_a_step_for_another(recorded, tmp_path):
    folder = tmp_path / "run" / "trajectories"
    folder.mkdir(parents=True)
    for step in (0, 20):
        validated = dataclasses.replace(recorded, seed=step, policy_version=step)
        write_trajectories(folder / f"val-{step:06}.jsonl", [validated])
    assert "--seed 20:" in "".join(list_recorded(str(tmp_path / "run")))
    assert shown(f"{tmp_path / 'run'}@0", recorded.task_id, 0)[0] == 1


def test_a_file_of_something_else_is_told_so(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing of the kind\n")
    with pytest.raises(InvalidValueError, match=r"notes\.txt, line 1"):
        show_recorded(str(tmp_path / "notes.txt"), Wanted(task_id="tau2/12", seed=0))
