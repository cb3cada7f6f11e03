"""What a group plays by ROLL's keys, without ROLL."""

from types import SimpleNamespace

import pytest

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.roll.group_plan import group_plan, steps_before
from tau_retail_env.sources import load_tasks

TASKS = load_tasks("tau2", "train", "profile")


def plan_of(group_id, *, mode="train", tags=("retail",), partition=(2,), turns=3, **keys):
    worker = SimpleNamespace(tags=tags, num_groups_partition=partition, max_traj_per_env=turns)
    defaults = {"seed": 1, "rollout_batch_size": 16, "val_batch_size": 6, "resume_from_checkpoint": False}
    pipeline = SimpleNamespace(**(defaults | keys))
    return group_plan(mode, TASKS, group_id=group_id, worker_config=worker, pipeline_config=pipeline)


def test_groups_are_counted_through_the_tags():
    first = [plan_of(group, tags=("a", "b", "c"), partition=(2, 0, 3)).request(0) for group in range(5)]
    assert [(one.tag, one.group) for one in first] == [("a", 0), ("a", 1), ("c", 0), ("c", 1), ("c", 2)]


@pytest.mark.parametrize("group_id", [5, -1])
def test_a_group_of_no_tag_is_named(group_id):
    with pytest.raises(InvalidValueError, match=f"group {group_id} is in none of the tags"):
        plan_of(group_id, tags=("a", "b", "c"), partition=(2, 0, 3))


@pytest.mark.parametrize(
    ("key", "steps"),
    [(None, 0), (False, 0), (True, 0), ("a/checkpoint-9", 10), ("a/checkpoint-0/", 1), ("a/checkpoint-9/actor", 0)],
)
def test_the_checkpoint_tells_how_many_steps_went_before(key, steps):
    assert steps_before(key) == steps


@pytest.mark.parametrize("batch_size", [16, -1])
def test_a_resumed_run_skips_the_episodes_that_it_has_played(batch_size):
    plan = plan_of(1, rollout_batch_size=batch_size, resume_from_checkpoint="run/checkpoint-1")
    assert plan.request(0).group == (13 if batch_size > 0 else 1)


def test_nothing_is_begun_that_no_step_of_the_run_would_take():
    played = [plan_of(1, max_steps=4).request(turn) for turn in range(13)]
    assert None not in played[:12] and played[12] is None
    resumed = plan_of(1, max_steps=4, resume_from_checkpoint="run/checkpoint-1")
    assert [resumed.request(turn) for turn in (0, 5, 6)] == [played[6], played[11], None]
    assert plan_of(1, max_steps=4, rollout_batch_size=-1).request(12) is not None


def test_a_validation_ends_only_where_rolls_key_asks_for_all():
    counted = plan_of(1, mode="val")
    assert counted.request(3) == counted.request(0)
    endless = plan_of(1, mode="val", val_batch_size=-1)
    assert [endless.request(turn) is None for turn in (0, 2, 3)] == [False, False, True]


def test_a_recorded_run_is_played_again_with_its_tasks_and_seeds():
    train, val = plan_of(1, seed=42), plan_of(1, mode="val")
    assert [(one.task_id, one.seed, one.group) for one in map(train.request, (0, 3))] == [
        ("tau2/22", 209513767794549, 1),
        ("tau2/43", 222004757954859, 7),
    ]
    assert [(one.task_id, one.seed, one.group) for one in map(val.request, (0, 2))] == [
        ("tau2/43", 155351685725891, 1),
        ("tau2/22", 52128894780314, 5),
    ]
