"""Tasks by current success: kinds that are won now and then come more often, and no kind disappears."""

from collections import Counter
from types import SimpleNamespace

import pytest

from tau_retail_env import load_tasks
from tau_retail_env.episodes.curriculum import REMEMBERED, Curriculum, kind_of
from tau_retail_env.episodes.plan import TrainingPlan
from tau_retail_env.tasks import Task

DRAWS = 3000


@pytest.fixture(scope="module")
def tasks() -> list[Task]:
    """Fifty single cancellations, fifty single returns, fifty changes of the profile, each of medium difficulty."""
    every = load_tasks("generated", "train")
    kinds = {"cancellations single": 50, "returns single": 50, "profile single": 50}
    return [task for kind, number in kinds.items() for task in [one for one in every if kind_of(one) == kind][:number]]


def drawn(curriculum: Curriculum, tasks: list[Task], seed: str = "") -> Counter[str]:
    kinds = {task.id: kind_of(task) for task in tasks}
    found = (curriculum.draw(f"{seed}{number}") for number in range(DRAWS))
    return Counter(kinds[task_id] if task_id else "any" for task_id in found)


def after(tasks: list[Task], floor: float, **won: float) -> Curriculum:
    """A curriculum after 64 episodes of each kind, of which so many in a hundred were won."""
    curriculum = Curriculum(tasks, floor=floor)
    for name, share in won.items():
        task = next(task for task in tasks if kind_of(task).startswith(name))
        for number in range(REMEMBERED):
            curriculum.learn(task.id, won=number < share * REMEMBERED)
    return curriculum


def test_before_anything_was_played_every_kind_comes_as_often_as_it_has_tasks(tasks: list[Task]):
    assert len(tasks) == 150
    counts = drawn(Curriculum(tasks, floor=0.1), tasks)
    assert counts["any"] == pytest.approx(DRAWS * 0.1, rel=0.2)
    for kind in ("cancellations single", "returns single", "profile single"):
        assert counts[kind] == pytest.approx(DRAWS * 0.3, rel=0.15)


def test_what_is_won_half_of_the_time_comes_most_often(tasks: list[Task]):
    counts = drawn(after(tasks, 0.1, cancellations=1.0, returns=0.5, profile=0.0), tasks)
    assert counts["returns single"] > 5 * max(counts["cancellations single"], counts["profile single"])


def test_the_floor_keeps_bringing_what_was_never_won_and_what_is_always_won(tasks: list[Task]):
    narrow, wide = (after(tasks, floor, cancellations=1.0, returns=0.5, profile=0.0) for floor in (0.01, 0.5))
    assert drawn(narrow, tasks)["any"] < DRAWS * 0.02
    assert drawn(wide, tasks)["any"] == pytest.approx(DRAWS * 0.5, rel=0.1)


def test_a_kind_that_has_become_possible_gains_once_its_old_failures_are_forgotten(tasks: list[Task]):
    curriculum = after(tasks, 0.1, cancellations=0.5, returns=0.5, profile=0.0)
    before = drawn(curriculum, tasks)["profile single"]
    task = next(task for task in tasks if kind_of(task) == "profile single")
    for number in range(REMEMBERED):
        curriculum.learn(task.id, won=number % 2 == 0)
    assert curriculum.success()["profile single"] == pytest.approx(0.5)
    assert drawn(curriculum, tasks)["profile single"] > 5 * before


def plan_of(tasks: list[Task], curriculum: float | None) -> TrainingPlan:
    groups = SimpleNamespace(tags=["train"], group_size=2, partition=lambda: [4])
    return TrainingPlan({"train": tasks}, groups, seed=1, curriculum=curriculum)


def episodes(tasks: list[Task], kind: str, *, reward: float) -> list[SimpleNamespace]:
    chosen = [task.id for task in tasks if kind_of(task) == kind]
    return [SimpleNamespace(tag="train", task_id=task_id, reward=reward, scorable=True) for task_id in chosen]


def test_siblings_play_the_same_task_and_a_resumed_plan_the_same_as_one_that_went_on(tasks: list[Task]):
    played = episodes(tasks, "profile single", reward=0.0) + episodes(tasks, "returns single", reward=1.0)
    first, resumed = plan_of(tasks, 0.2), plan_of(tasks, 0.2)
    first.learn(played[:60])
    assert all(len({episode.task_id for episode in first.group(position)}) == 1 for position in range(40))
    first.learn(played[60:])
    resumed.learn(played)
    assert [first.group(position) for position in range(40)] == [resumed.group(position) for position in range(40)]


def test_without_a_curriculum_nothing_depends_on_what_was_won(tasks: list[Task]):
    plan = plan_of(tasks, None)
    before = [plan.group(position) for position in range(40)]
    plan.learn(episodes(tasks, "profile single", reward=1.0))
    assert [plan.group(position) for position in range(40)] == before


def test_what_could_not_be_scored_counts_for_nothing(tasks: list[Task]):
    plan, other = plan_of(tasks, 0.2), plan_of(tasks, 0.2)
    failed = episodes(tasks, "profile single", reward=0.0)
    for episode in failed:
        episode.scorable = False
    plan.learn(failed)
    assert [plan.group(position) for position in range(40)] == [other.group(position) for position in range(40)]
