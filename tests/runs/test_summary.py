"""What a run came to: success before and after, seconds by phase, and what its customers took."""

from dataclasses import replace

import pytest

from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.runs.summary import (
    bill,
    customer_lines,
    customers_of,
    seconds_by_phase,
    seconds_in_words,
    success_before_and_after,
)
from tests.plain_trajectory import plain_trajectory


def validation(*rewards: float, tag: str = "retail") -> list[Trajectory]:
    """An episode of a task of its own for each reward."""
    return [replace(plain_trajectory(reward=one, tag=tag), task_id=f"tau2/{n}") for n, one in enumerate(rewards)]


def test_two_validations_are_compared_where_both_played_the_same_tasks():
    first, last = validation(0.0, 1.0), validation(1.0, 1.0)
    told = success_before_and_after(first, last)
    assert (told["before"]["success"], told["after"]["success"], told["difference"]["success"]) == (0.5, 1.0, 0.5)


@pytest.mark.parametrize("first", [None, validation(0.0), validation(0.0, 1.0, tag="other")])
def test_a_validation_of_other_tasks_is_no_before(first: list[Trajectory] | None):
    told = success_before_and_after(first, validation(1.0, 1.0))
    assert told.keys() == {"after"}
    assert told["after"]["success"] == 1.0


def test_the_seconds_of_a_step_add_up_by_its_parts_and_the_total_is_none_of_them():
    rows = [
        {"time/step_rollout": 2.04, "time/step_total": 9.0, "time/step_train": None, "time/other": 1.0},
        {"time/step_rollout": 3.0, "time/step_train": 0.5},
    ]
    assert seconds_by_phase(rows) == {"rollout": 5.0, "train": 0.5}


def test_what_took_no_time_or_too_little_is_left_out():
    assert seconds_in_words({"rollout": 61.4, "train": 0.6, "val": 0.0}) == "seconds: rollout 61, train 1"
    assert seconds_in_words({"rollout": 61.4, "train": 1.0, "val": 0.6}, least=1.0) == "seconds: rollout 61, train 1"


def test_the_bill_adds_up_training_and_evaluations():
    rows = [
        {"step": 0, "val/customer/llm/cost_usd": 0.25, "val/customer/llm/success": 0.5, "val/score/mean": 1.0},
        {"step": 1, "customer/llm/cost_usd": 0.5, "customer/react/prompt_tokens": 1200.0, "actor/lr": None},
        {"step": 2, "val/customer/llm/success": 0.75, "time/val_customer/llm/latency_p50_s": 3.0},
    ]
    assert customers_of(rows)["llm"] == {
        "run": {"cost_usd": 0.75},
        "after": {"cost_usd": 0.25, "success": 0.75, "latency_p50_s": 3.0},
    }
    assert bill(rows).startswith("cost $0.7500 (1,200 prompt and 0 completion tokens")
    assert bill([]).startswith("cost an unknown amount")


def test_a_bill_whose_cost_is_not_known_of_one_row_is_not_known():
    rows = [
        {"step": 0, "val/customer/llm/cost_usd": 0.25, "val/customer/llm/calls": 2.0},
        {"step": 1, "customer/llm/calls": 3.0},
        {"step": 2, "customer/react/cost_usd": 0.5, "customer/react/calls": 1.0},
    ]
    assert [("cost_usd" in customers_of(rows)[name]["run"]) for name in ("llm", "react")] == [False, True]
    assert bill(rows).startswith("cost an unknown amount")
    assert bill(rows[2:]).startswith("cost $0.5000")


def test_a_run_adds_up_what_was_paid_and_neither_rates_nor_seconds():
    rows = [
        {"customer/llm/episodes": 8.0, "customer/llm/success": 0.5, "time/val_customer/llm/latency_p95_s": 2.0},
        {"customer/llm/episodes": 4.0, "customer/llm/success": 0.25, "val/customer/llm/episodes": 2.0},
    ]
    assert customers_of(rows) == {"llm": {"run": {"episodes": 14.0}, "after": {"latency_p95_s": 2.0, "episodes": 2.0}}}


def test_a_line_for_each_customer_tells_success_waiting_and_the_bill():
    paid = {"episodes": 1200.0, "failures": 3.0, "prompt_tokens": 5000.0, "calls": 40.0, "cost_usd": 0.25}
    waited = {"success": 0.75, "episodes": 8.0, "latency_p50_s": 1.0, "latency_p95_s": 2.5}
    customers = {"llm": {"run": paid, "after": waited}, "scripted": {"run": {}, "after": {}}}
    assert customer_lines(customers) == [
        "customer llm: success after 75.0% of 8 episodes, latency p50 1.00 s, p95 2.50 s; in the whole run 1,200 "
        "episodes scored, 3 failed, cost $0.2500 (5,000 prompt and 0 completion tokens, 40 calls, 0 retries)",
        "customer scripted: in the whole run 0 episodes scored, 0 failed",
    ]
