"""Conversations shown as they were recorded."""

from __future__ import annotations

import dataclasses
import io

import pytest

from tau_retail_env.cli.conversation import list_recorded, show_recorded
from tau_retail_env.cli.customer_options import CustomerChoice
from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.evaluation.user_check import play, spread
from tau_retail_env.runs.trajectories import write_trajectories
from tau_retail_env.sources import load_tasks


@pytest.fixture(scope="module")
def recorded() -> Trajectory:
    tasks = load_tasks("generated", "test")[:1]
    return play(spread(tasks, 1, 3), tasks, lambda: CustomerChoice().environment(tasks)).trajectories[0]


def shown(path, task_id: str, seed: int) -> tuple[int, str]:
    out = io.StringIO()
    return show_recorded(str(path), task_id, seed, out=out), out.getvalue()


def test_words_calls_and_the_end_are_shown(recorded, tmp_path):
    write_trajectories(tmp_path / "played.jsonl", [recorded])
    count, text = shown(tmp_path / "played.jsonl", recorded.task_id, 3)
    assert count == 1
    assert text.startswith(f"Task {recorded.task_id}, seed 3, customer scripted. Recorded.")
    assert "agent calls find_user_id_by_" in text
    assert text.count("customer> ") >= 3
    assert "Retail agent policy" not in text
    assert "Reward: 1.0" in text


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
    assert listed == [f"{options} 3: reward 1.0, user_stop", f"{options} 5: not scored, user_stop"]


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
        show_recorded(str(tmp_path / "notes.txt"), "tau2/12", 0)
