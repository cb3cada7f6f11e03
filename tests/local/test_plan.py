"""What is played when."""

import pytest

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.local.config.managers import EnvManager
from tau_retail_env.local.plan import TrainingPlan, validation_plan
from tau_retail_env.sources import load_tasks
from tau_retail_env.tasks import Task


@pytest.fixture(scope="module")
def tasks() -> dict[str, list[Task]]:
    pool = load_tasks("generated", "train")
    return {"a": pool[:5], "b": pool[5:8]}


def manager(**changes: object) -> EnvManager:
    return EnvManager(num_env_groups=3, group_size=2, tags=("a", "b"), num_groups_partition=(2, 1)).model_copy(
        update=changes
    )


def played(plan: TrainingPlan, tag: str, groups: int) -> list[str]:
    first = [plan.group(position)[0] for position in range(groups)]
    return [episode.task_id for episode in first if episode.tag == tag]


def test_every_task_comes_once_before_any_comes_twice(tasks: dict[str, list[Task]]):
    ids = played(TrainingPlan(tasks, manager(), seed=1), "a", 15)
    assert len(ids) == 10
    assert set(ids[:5]) == set(ids[5:]) == {task.id for task in tasks["a"]}
    assert ids[:5] != ids[5:]


def test_tags_take_turns_by_their_share(tasks: dict[str, list[Task]]):
    plan = TrainingPlan(tasks, manager(), seed=1)
    assert [plan.group(position)[0].tag for position in range(6)] == ["a", "a", "b", "a", "a", "b"]


def test_siblings_share_the_words_and_not_the_sampling(tasks: dict[str, list[Task]]):
    first, second = TrainingPlan(tasks, manager(), seed=1).group(4)
    assert (first.task_id, first.seed, first.group) == (second.task_id, second.seed, 4)
    assert first.sampling_seed != second.sampling_seed


def test_a_plan_depends_on_the_seed_alone(tasks: dict[str, list[Task]]):
    one, same, other = (TrainingPlan(tasks, manager(), seed=seed) for seed in (1, 1, 2))
    assert [one.group(position) for position in (7, 0)] == [same.group(position) for position in (7, 0)]
    assert one.group(0)[0].seed != other.group(0)[0].seed
    assert played(one, "a", 15) != played(other, "a", 15)


def test_validation_plays_each_task_group_size_times(tasks: dict[str, list[Task]]):
    plan = validation_plan(tasks, manager())
    assert plan == validation_plan(tasks, manager())
    assert [episode.tag for episode in plan] == ["a"] * 4 + ["b"] * 2
    assert len({episode.task_id for episode in plan}) == 3
    assert len({episode.seed for episode in plan}) == 6


def test_validation_does_not_invent_tasks(tasks: dict[str, list[Task]]):
    with pytest.raises(InvalidValueError, match=r"6 groups for tag 'b', which has 3 tasks.*group_size"):
        validation_plan(tasks, manager(num_env_groups=8, num_groups_partition=(2, 6)))
