"""What is played when."""

from collections import Counter

import pytest

from tau_retail_env.episodes.plan import (
    EpisodeRequest,
    Place,
    TrainingGroup,
    TrainingPlan,
    ValidationGroup,
    validation_plan,
)
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.local.config.managers import EnvManager
from tau_retail_env.sources import load_tasks
from tau_retail_env.tasks import Task


@pytest.fixture(scope="module")
def tasks() -> dict[str, list[Task]]:
    pool = load_tasks("generated", "train")
    return {"a": pool[:5], "b": pool[5:8]}


def manager(**changes: object) -> EnvManager:
    plain = EnvManager(num_env_groups=3, group_size=2, tags=("a", "b"), num_groups_partition=(2, 1))
    return plain.model_copy(update=changes)


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
    with pytest.raises(InvalidValueError, match=r"tag 'b' has 3 tasks, but 6 groups ask for 6.*group_size"):
        validation_plan(tasks, manager(num_env_groups=8, num_groups_partition=(2, 6)))


PROFILE = load_tasks("tau2", "train", "profile")


@pytest.mark.parametrize("groups", [1, 2, 4, 5, 6, 13])
def test_groups_side_by_side_visit_every_task_once_an_epoch(groups: int):
    parts = [TrainingGroup(PROFILE, Place("retail", groups, index), seed=1) for index in range(groups)]
    played = [part.request(turn) for turn in range(2 * len(PROFILE)) for part in parts]
    for epoch in range(2):
        start = epoch * len(PROFILE)
        found = Counter(one.task_id for one in played[start : start + len(PROFILE)])
        assert found == Counter(task.id for task in PROFILE)
    assert len({one.seed for one in played}) == len(played)


def test_the_runs_seed_and_the_tag_decide_the_order():
    def order(seed: int, tag: str) -> list[str]:
        part = TrainingGroup(PROFILE, Place(tag, 1, 0), seed=seed)
        return [part.request(turn).task_id for turn in range(2 * len(PROFILE))]

    assert order(1, "a") == order(1, "a")
    assert order(1, "a") != order(2, "a") != order(2, "b")


def test_validation_repeats_itself_however_long_turns_are_counted():
    parts = [ValidationGroup(PROFILE, Place("retail", 3, index), turns=2) for index in range(3)]
    evaluations = [[part.request(2 * number + turn) for part in parts for turn in range(2)] for number in range(4)]
    assert all(evaluation == evaluations[0] for evaluation in evaluations)
    assert {one.task_id for one in evaluations[0]} == {task.id for task in PROFILE}


def test_a_validation_of_fewer_turns_than_tasks_plays_the_same_sample():
    part = ValidationGroup(PROFILE, Place("retail", 1, 0), turns=2)
    assert {part.request(number).task_id for number in (0, 1)} == {part.request(number).task_id for number in (6, 7)}
    assert part.request(0) != part.request(1)


def test_more_turns_than_tasks_are_refused():
    with pytest.raises(InvalidValueError, match=r"6 tasks, but 4 groups with 2 episodes each ask for 8"):
        ValidationGroup(PROFILE, Place("retail", 4, 0), turns=2)


def test_a_traversal_ends_when_every_task_was_played():
    parts = [
        ValidationGroup(PROFILE, Place("retail", len(PROFILE), index), turns=None) for index in range(len(PROFILE))
    ]
    assert {part.request(0).task_id for part in parts} == {task.id for task in PROFILE}
    assert [part.request(1) for part in parts] == [None] * len(PROFILE)


def test_a_request_that_says_no_more_is_of_group_and_sampling_seed_0():
    assert EpisodeRequest("tau2/1", 5).group == 0
    assert EpisodeRequest("tau2/1", 5).sampling_key == "tau2/1/5/0"


def test_both_engines_play_the_same_tasks_in_the_same_order(tasks: dict[str, list[Task]]):
    """The local engine counts groups over all tags, ROLL the turns of each group."""
    plan = TrainingPlan(tasks, manager(), seed=3)
    groups = [TrainingGroup(tasks[place.tag], place, seed=3) for place in Place.all(("a", "b"), (2, 1))]
    played = [plan.group(position)[0].task_id for position in range(30)]
    assert played == [group.request(turn).task_id for turn in range(10) for group in groups]


def test_a_recorded_run_is_played_again_with_its_tasks_and_seeds(tasks: dict[str, list[Task]]):
    plan = TrainingPlan(tasks, manager(), seed=42)
    assert [[told(one) for one in plan.group(position)] for position in (0, 5)] == [
        [("generated/train/2", 38755488135690, 0, "a", sampling) for sampling in (79924235378145, 22514844947628)],
        [("generated/train/6", 132087314190020, 5, "b", sampling) for sampling in (22874478964031, 30016349694357)],
    ]
    assert [told(one) for one in validation_plan(tasks, manager())[:2]] == [
        ("generated/train/4", 33567610493243, 0, "a", 144471495349076),
        ("generated/train/4", 106883531789749, 0, "a", 62322727140864),
    ]


def told(request: EpisodeRequest) -> tuple[object, ...]:
    return request.task_id, request.seed, request.group, request.tag, request.sampling_seed
