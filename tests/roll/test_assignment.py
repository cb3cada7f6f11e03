"""Which task and seed an episode gets: pure arithmetic, without ROLL."""

from collections import Counter
from types import SimpleNamespace

import pytest

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.roll.assignment import (
    Place,
    TrainingAssignment,
    ValidationAssignment,
    make_assignment,
    steps_before,
)
from tau_retail_env.sources import load_tasks

TASKS = load_tasks("tau2", "train", "profile")


@pytest.mark.parametrize("groups", [1, 2, 4, 5, 6, 13])
def test_groups_side_by_side_visit_every_task_once_an_epoch(groups):
    parts = [TrainingAssignment(TASKS, Place("retail", groups, index), seed=1) for index in range(groups)]
    played = [part.of(episode) for episode in range(2 * len(TASKS)) for part in parts]
    for epoch in range(2):
        start = epoch * len(TASKS)
        assert Counter(one.task_id for one in played[start : start + len(TASKS)]) == Counter(task.id for task in TASKS)
    assert len({one.seed for one in played}) == len(played)


def test_the_runs_seed_and_the_tag_decide_the_order():
    def order(seed, tag):
        part = TrainingAssignment(TASKS, Place(tag, 1, 0), seed=seed)
        return [part.of(episode).task_id for episode in range(2 * len(TASKS))]

    assert order(1, "a") == order(1, "a")
    assert order(1, "a") != order(2, "a") != order(2, "b")


def test_validation_repeats_itself_however_long_episodes_are_counted():
    parts = [ValidationAssignment(TASKS, Place("retail", 3, index), episodes=2) for index in range(3)]
    evaluations = [[part.of(2 * number + turn) for part in parts for turn in range(2)] for number in range(4)]
    assert all(evaluation == evaluations[0] for evaluation in evaluations)
    assert {one.task_id for one in evaluations[0]} == {task.id for task in TASKS}


def test_a_validation_of_fewer_places_than_tasks_plays_the_same_sample():
    part = ValidationAssignment(TASKS, Place("retail", 1, 0), episodes=2)
    assert {part.of(number).task_id for number in (0, 1)} == {part.of(number).task_id for number in (6, 7)}
    assert part.of(0) != part.of(1)


def test_more_places_than_tasks_are_refused():
    with pytest.raises(InvalidValueError, match=r"6 tasks, but 4 groups with 2 episodes each ask for 8"):
        ValidationAssignment(TASKS, Place("retail", 4, 0), episodes=2)


def test_groups_are_counted_through_the_tags():
    tags, partition = ["a", "b", "c"], [2, 0, 3]
    places = [Place.of_group(group, tags, partition) for group in range(5)]
    assert places == [Place("a", 2, 0), Place("a", 2, 1), *(Place("c", 3, index) for index in range(3))]
    with pytest.raises(InvalidValueError, match="group 5 is in none of the tags"):
        Place.of_group(5, tags, partition)


@pytest.mark.parametrize(
    ("key", "steps"),
    [(None, 0), (False, 0), (True, 0), ("a/checkpoint-9", 10), ("a/checkpoint-0/", 1), ("a/checkpoint-9/actor", 0)],
)
def test_the_checkpoint_tells_how_many_steps_went_before(key, steps):
    assert steps_before(key) == steps


@pytest.mark.parametrize("batch_size", [16, -1])
def test_a_resumed_run_skips_the_episodes_that_it_has_played(batch_size):
    worker = SimpleNamespace(tags=["retail"], num_groups_partition=[2], max_traj_per_env=3)
    pipeline = SimpleNamespace(
        seed=1, rollout_batch_size=batch_size, val_batch_size=6, resume_from_checkpoint="run/checkpoint-1"
    )
    part = make_assignment("train", TASKS, group_id=1, worker_config=worker, pipeline_config=pipeline)
    assert part.of(0).count == (13 if batch_size > 0 else 1)
