"""From played episodes to a row of metrics."""

from dataclasses import replace

from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.local.metrics import customer_row, training_row, validation_row
from tau_retail_env.sources import load_tasks
from tau_retail_env.tasks.writes import gold_writes
from tests.plain_trajectory import plain_trajectory


def episode(reward: float, **changes: object) -> Trajectory:
    plain = plain_trajectory(reward=reward, user_strategy="scripted", metrics={"turns": 3.0})
    return replace(plain, **changes)  # type: ignore[arg-type]


def priced(reward: float, *latencies_s: float, **changes: object) -> Trajectory:
    usage = tuple({"latency_s": wait, "prompt_tokens": 10.0, "retries": 1.0, "cost_usd": 0.5} for wait in latencies_s)
    return episode(reward, user_strategy="llm", customer_usage=usage, **changes)


def failed(*latencies_s: float) -> Trajectory:
    return priced(0.0, *latencies_s, scorable=False, stop_reason="user_error")


def test_nothing_new_is_shown_for_the_scripted_customer():
    row = training_row([episode(1.0), episode(0.0)], {"tau2/1": _task()})
    assert not [name for name in row if "customer" in name]
    assert customer_row([episode(1.0)]) == {}


def test_a_mixture_is_told_by_strategy_also_where_nobody_tells_what_it_took():
    row = training_row([episode(1.0), episode(0.0)], {"tau2/1": _task()}, mixed=True)
    assert {name: value for name, value in row.items() if "customer" in name} == {
        "customer/scripted/success": 0.5,
        "customer/scripted/episodes": 2.0,
        "customer/scripted/failures": 0.0,
    }
    assert validation_row([episode(1.0)], {"tau2/1": _task()}, mixed=True)["val/customer/scripted/success"] == 1.0


def test_numbers_are_told_by_strategy_and_the_clocks_under_time():
    tries = [priced(1.0, 1.0, 2.0), priced(0.0, 2.0), failed(2.0), episode(1.0), episode(1.0)]
    assert customer_row(tries) == {
        "customer/llm/success": 0.5,
        "customer/llm/episodes": 2.0,
        "customer/llm/failures": 1.0,
        "customer/llm/prompt_tokens": 40.0,
        "customer/llm/retries": 4.0,
        "customer/llm/cost_usd": 2.0,
        "time/customer/llm/latency_p50_s": 2.0,
        "time/customer/llm/latency_p95_s": 2.0,
        "customer/scripted/success": 1.0,
        "customer/scripted/episodes": 2.0,
        "customer/scripted/failures": 0.0,
    }


def test_vain_tries_are_counted_and_not_scored():
    row = validation_row([priced(1.0, 1.0)], {"tau2/1": _task()}, [failed(1.0), failed(1.0), priced(1.0, 1.0)])
    assert (row["val/score/mean"], row["val/unscorable"]) == (1.0, 0.0)
    assert (row["val/customer/llm/failures"], row["val/customer/llm/cost_usd"]) == (2.0, 1.5)
    assert row["time/val_customer/llm/latency_p50_s"] == 1.0


def test_a_group_without_two_different_rewards_teaches_nothing():
    one, other, third = ({"group": group} for group in range(3))
    episodes = [episode(1.0, **one), episode(0.0, **one), episode(1.0, **other), episode(1.0, **other)]
    episodes += [episode(1.0, **third), episode(0.0, scorable=False, stop_reason="user_error", **third)]
    assert training_row(episodes, {"tau2/1": _task()})["rollout/groups_without_signal"] == 2 / 3


def test_a_task_that_doing_nothing_wins_is_no_earned_success():
    free, work = (
        next(task for task in load_tasks("tau2", "test") if not gold_writes(task) and not task.outputs),
        _task(),
    )
    episodes = [episode(1.0, task_id=free.id), episode(1.0, task_id=work.id), episode(0.0, task_id=work.id)]
    tasks = {free.id: free, work.id: work}
    assert training_row(episodes, tasks)["rollout/earned_success"] == 0.5
    assert "rollout/earned_success" not in training_row(episodes[:1], tasks)


def _task():  # type: ignore[no-untyped-def]
    return load_tasks("tau2", "train")[0]
