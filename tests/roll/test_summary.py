"""What a ROLL run tells at its end, from the files that its workers and its tracker left."""

import json
from dataclasses import replace

import pytest

from tau_retail_env.roll.run_folder import ENGINE
from tau_retail_env.roll.summary import read_validations, summarise
from tau_retail_env.runs.folder import RunFolder
from tau_retail_env.runs.summary import seconds_by_phase
from tau_retail_env.runs.trajectories import write_trajectories
from tests.roll.test_trajectory_writer import record

ROWS = [
    {"step": 0, "time/step_rollout": 2.0, "time/step_total": 5.0, "time/step_val": 1.5, "val/score/mean": 0.25},
    {"step": 1, "time/step_rollout": 3.0, "time/step_total": 5.0, "time/step_train": 0.5, "rollout/score/mean": 0.5},
]


def episode(number, step, reward, trial=0, scorable=True):
    return replace(
        record(number), policy_version=step, reward=reward, sampling_seed=trial, scorable=scorable, split="test"
    )


@pytest.fixture
def run(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (tmp_path / "trajectories").mkdir()
    return RunFolder(tmp_path, ENGINE)


def write(run, name, *episodes):
    write_trajectories(run.path / "trajectories" / f"{name}.jsonl", episodes)


def told(run):
    lines = summarise(run, run.path / "trajectories", title="a run")
    return json.loads((run.path / "summary.json").read_text()), lines


def test_success_before_and_after_on_the_same_tasks(run):
    before = [episode(number, 0, float(number < 2)) for number in range(20)]
    after = [episode(number, 10, float(number < 15)) for number in range(20)]
    write(run, "val-host-7-1000-000000", *before[:9], *after[9:])
    write(run, "val-host-8-1001-000000", *before[9:], *after[:9])
    write(run, "train-host-9-1000-000000", episode(0, 0, 1.0))
    summary, lines = told(run)
    assert summary["validated"] == [0, 10]
    assert (summary["before"]["success"], summary["after"]["success"]) == (0.1, 0.75)
    assert summary["difference"]["success"] == pytest.approx(0.65) and summary["difference"]["interval"][0] > 0.3
    assert lines[0] == "seconds: rollout 5, val 2" and "before 10.0%, after 75.0% on the same 20" in lines[1]
    assert (run.path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_a_validation_that_was_played_twice_counts_as_played_last(run):
    write(run, "val-host-7-999-000000", episode(1, 10, 1.0))
    write(run, "val-host-6-20000-000000", episode(1, 10, 0.0))
    write(run, "val-host-6-20000-000001", episode(1, 20, 1.0))
    found = read_validations(run.path / "trajectories")
    assert {step: [one.reward for one in episodes.values()] for step, episodes in found.items()} == {
        10: [0.0],
        20: [1.0],
    }


def test_a_try_that_the_customer_spoilt_gives_way_to_the_next(run):
    write(run, "val-host-7-1-000000", episode(1, 0, 0.0, scorable=False), episode(1, 0, 1.0))
    assert told(run)[0]["after"] | {"interval": 0} == {
        "success": 1.0, "interval": 0, "episodes": 1, "asked": 1, "unscorable": 0
    }  # fmt: skip


def test_several_trials_of_a_task_are_compared_by_task(run):
    before = [episode(number, 0, float(trial == 0), trial) for number in range(20) for trial in range(4)]
    after = [episode(number, 10, float(trial < 2 + number % 2), trial) for number in range(20) for trial in range(4)]
    write(run, "val-host-7-1-000000", *before[:9], *after[9:])
    write(run, "val-host-8-1-000000", *before[9:], *after[:9])
    summary, lines = told(run)
    difference = summary["difference"]
    assert (difference["tasks"], difference["trials"], difference["success"]) == (20, [4, 4], pytest.approx(0.375))
    assert difference["interval"][0] < 0.375 < difference["interval"][1]
    assert "before 25.0%, after 62.5% on the same 20 held-out tasks, 4 trials each" in lines[1]


def test_validations_of_different_tasks_are_not_compared(run):
    write(run, "val-host-7-1-000000", *[episode(step, step, 1.0, trial) for step in (0, 10) for trial in range(2)])
    summary, lines = told(run)
    assert "difference" not in summary and summary["after"]["episodes"] == 2
    assert lines[1].startswith("success 100.0% of 2 held-out episodes")


def test_without_trajectories_or_steps_nothing_is_made_up(run):
    summary, lines = told(run)
    assert "after" not in summary and len(lines) == 1
    run.metrics.unlink()
    assert summarise(run, run.path / "trajectories", title="a run") == []


def test_the_parts_of_a_step_are_added_up_and_the_whole_is_not_one_of_them():
    assert seconds_by_phase(ROWS) == {"rollout": 5.0, "val": 1.5, "train": 0.5}
