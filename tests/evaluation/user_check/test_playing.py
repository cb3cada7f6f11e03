"""Which episodes are played, by how many at once, and what is left of them when something ends it early."""

from __future__ import annotations

import threading

import pytest

from tau_retail_env.cli.user_options import UserChoice
from tau_retail_env.env import TauRetailEnv
from tau_retail_env.errors import BudgetError, InvalidValueError
from tau_retail_env.evaluation.user_check import play, playing, spread
from tau_retail_env.sources import load_tasks, open_shop
from tau_retail_env.users import ScriptedUser, UserMessage

TASKS = load_tasks("generated", "test")[:10]


class Customer(ScriptedUser):
    """The scripted customer, with something that happens before it opens a conversation."""

    def __init__(self, before) -> None:
        super().__init__(open_shop("generated").database)
        self._before = before

    def reset(self, task, *, seed: int) -> UserMessage:
        self._before()
        return super().reset(task, seed=seed)


def test_every_task_comes_once_before_any_comes_twice():
    requests = spread(TASKS, 25, 7)
    assert [request.seed for request in requests] == [7] * 10 + [8] * 10 + [9] * 5
    assert [request.task_id for request in requests[10:20]] == [task.id for task in TASKS]
    assert [request.task_id for request in requests[20:]] == [TASKS[place].id for place in (0, 2, 4, 6, 8)]


def test_episodes_come_back_in_order_whoever_is_first():
    requests = spread(TASKS, 10, 0)
    played = play(requests, TASKS, lambda: UserChoice().environment(TASKS), workers=3)
    assert [one.task_id for one in played.trajectories] == [request.task_id for request in requests]
    assert {one.reward for one in played.trajectories} == {1.0}
    assert played.ended_by is None


def test_workers_play_side_by_side():
    together = threading.Barrier(3, timeout=30)
    played = play(
        spread(TASKS, 6, 0),
        TASKS,
        lambda: TauRetailEnv(source="generated", tasks=TASKS, user=Customer(together.wait)),
        workers=3,
    )
    assert len(played.trajectories) == 6


@pytest.mark.parametrize("error", [BudgetError("used up"), ValueError("a bug")])
def test_what_was_over_before_an_error_is_kept(error):
    resets = iter(range(100))

    def before():
        if next(resets) == 4:
            raise error

    played = play(
        spread(TASKS, 10, 0), TASKS, lambda: TauRetailEnv(source="generated", tasks=TASKS, user=Customer(before))
    )
    assert [one.task_id for one in played.trajectories] == [task.id for task in TASKS[:4]]
    assert str(error) in str(played.ended_by)


def test_an_interruption_leaves_what_was_over():
    done = iter(range(3))

    def progress():
        if next(done) == 2:
            raise KeyboardInterrupt

    played = play(spread(TASKS, 10, 0), TASKS, lambda: UserChoice().environment(TASKS), progress=progress)
    assert 3 <= len(played.trajectories) < 10
    assert isinstance(played.ended_by, KeyboardInterrupt)


def test_a_worker_that_cannot_even_begin_ends_the_check_with_its_error(monkeypatch):
    def broken(task):
        raise InvalidValueError(f"no oracle for {task.id}")

    monkeypatch.setattr(playing, "OracleAgent", broken)
    played = play(spread(TASKS, 3, 0), TASKS, lambda: TauRetailEnv(source="generated", tasks=TASKS), workers=2)
    assert isinstance(played.ended_by, InvalidValueError)
    assert "no oracle for" in str(played.ended_by)
