"""Why episodes fail, and what the report says: models on a real server that play the customer well or badly."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from tau_retail_env.cli.user_options import UserChoice
from tau_retail_env.env import TauRetailEnv
from tau_retail_env.evaluation.user_check import REASONS, Played, as_text, failure_of, play, spread
from tau_retail_env.sources import load_tasks
from tau_retail_env.users.llm.background import close_background
from tests.evaluation.user_check.spoken import Words, model, scripted
from tests.users.llm.server import ChatServer, always

TASKS = load_tasks("generated", "test", "single")[:6]


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer() as running:
        yield running
    close_background()


def check(server: ChatServer, words: Words, strategy: str = "llm", *settings: str, episodes: int = 6) -> Played:
    server.reply = model(TASKS, words)
    block = [f"base_url={server.base_url}", "max_retries=0", *settings]
    customer = UserChoice.read(strategy, "tiny", block)
    return play(spread(TASKS, episodes, 0), TASKS, lambda: customer.environment(TASKS), workers=3)


def failures(played: Played) -> set[str | None]:
    by_id = {task.id: task for task in TASKS}
    return {failure_of(one, by_id[one.task_id]) for one in played.trajectories}


def test_a_model_that_plays_as_the_scripted_customer_fails_nobody(server):
    played = check(server, scripted)
    report = as_text(played, TASKS)
    assert failures(played) == {None}
    assert "6 episodes asked for: 6 scored, 0 lost because the customer failed" in report
    assert "customer llm: a perfect agent fails in 0 of 6 scored episodes, 0.0% (95 %: 0.0% to 39.0%)" in report
    assert f"{len(server.requests)} calls, 0 replayed, 0 retries, 0 failures" in report
    assert "latency p50" in report
    assert "look at" not in report


def test_consent_in_free_words_fails_nobody(server):
    def words(task, heard):
        said = scripted(task, heard)
        return "Absolutely, please go for it." if heard and "Confirm" in heard[-1] else said

    assert failures(check(server, words)) == {None}


def goes_at_once(task, heard):
    return "###STOP###" if heard else scripted(task, heard)


def tells_nothing(task, heard):
    return "I would rather not say. Please help me."


def never_says_yes(task, heard):
    return "Let me think about it." if heard and "Confirm" in heard[-1] else scripted(task, heard)


def never_goes(task, heard):
    return scripted(task, heard).replace("###STOP###", "By the way, I like your shop.")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (goes_at_once, "stopped early"),
        (tells_nothing, "not identified"),
        (never_says_yes, "not confirmed"),
        (never_goes, "never ended"),
    ],
)
def test_a_customer_that_misbehaves_is_found_out(words, reason, server):
    played = check(server, words, episodes=2)
    report = as_text(played, TASKS)
    assert failures(played) == {reason}
    assert "fails in 2 of 2 scored episodes, 100.0%" in report
    assert f"  2 {reason}: {REASONS[reason]}" in report
    assert f"  {played.trajectories[0].task_id} seed 0, customer llm: {reason} (" in report


def test_an_episode_that_ends_amid_the_oracles_work_is_told_as_such(server):
    (one,) = check(server, scripted, episodes=1).trajectories
    cut = dataclasses.replace(one, messages=one.messages[:7], reward=0.0, terminated=False, stop_reason="max_steps")
    (task,) = [task for task in TASKS if task.id == one.task_id]
    assert failure_of(cut, task) == "out of messages"


def test_episodes_that_the_server_loses_are_not_scored_and_counted_apart(server):
    server.plan = lambda order: None if order < 4 else "500"
    played = check(server, scripted)
    report = as_text(played, TASKS)
    lost = [one for one in played.trajectories if not one.scorable]
    assert 0 < len(lost) <= 6
    assert f"{6 - len(lost)} scored, {len(lost)} lost because the customer failed" in report
    assert f"  {len(lost)} lost, not in this rate" in report
    assert report.count("customer failed (user_error): ") == len(lost)


def test_where_every_episode_is_lost_there_is_no_rate(server):
    server.plan = always("503")
    report = as_text(check(server, scripted, episodes=2), TASKS)
    assert "customer llm: no episode could be scored" in report
    assert "%" not in report


def test_a_mixture_is_reported_by_strategy_and_as_a_whole(server):
    played = check(server, goes_at_once, "{scripted: 0.5, llm: 0.5}", episodes=18)
    report = as_text(played, TASKS)
    api = [one for one in played.trajectories if one.user_strategy == "llm"]
    assert 0 < len(api) < 18
    assert f"customer llm: a perfect agent fails in {len(api)} of {len(api)}" in report
    assert f"customer scripted: a perfect agent fails in 0 of {18 - len(api)}" in report
    assert f"all customers: a perfect agent fails in {len(api)} of 18" in report


def test_prices_make_a_cost(server):
    prices = ("usd_per_million_input_tokens=1", "usd_per_million_output_tokens=2")
    played = check(server, scripted, "llm", *prices, episodes=1)
    usages = played.trajectories[0].customer_usage
    assert f"${sum(usage['cost_usd'] for usage in usages):.4f}" in as_text(played, TASKS)
    assert "of unknown cost" in as_text(check(server, scripted, episodes=1), TASKS)


def test_a_vain_attempt_without_a_price_leaves_what_was_paid(server):
    server.cost_usd = 0.25
    server.plan = lambda order: "500" if order == 2 else None
    played = check(server, scripted, episodes=1)
    usages = played.trajectories[0].customer_usage
    assert any("cost_usd" not in usage for usage in usages)
    paid = sum(usage.get("cost_usd", 0.0) for usage in usages)
    assert 0 < paid == played.trajectories[0].metrics["customer_cost_usd"]
    assert f"${paid:.4f}" in as_text(played, TASKS)


class Silent:
    """A customer who tells nothing and never goes."""

    def reset(self, task, *, seed):
        return "Hello."

    def respond(self, message):
        return "I would rather not say."


def test_v1_ends_with_the_transfer_of_a_customer_whom_nobody_knows(tau_bench):
    (task,) = load_tasks("tau_bench", "dev")[:1]
    played = play(spread([task], 1, 0), [task], lambda: TauRetailEnv(source="tau_bench", tasks=[task], user=Silent()))
    assert played.trajectories[0].stop_reason == "agent_transfer"
    assert failure_of(played.trajectories[0], task) == "not identified"
