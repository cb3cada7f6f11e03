"""Conversations shown as they were recorded."""

from __future__ import annotations

import dataclasses
import io

import pytest

from tau_retail_env.cli.conversation import show_recorded
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
    return show_recorded(path, task_id, seed, out=out), out.getvalue()


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


def test_a_file_of_something_else_is_told_so(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing of the kind\n")
    with pytest.raises(InvalidValueError, match=r"notes\.txt, line 1"):
        show_recorded(tmp_path / "notes.txt", "tau2/12", 0)
