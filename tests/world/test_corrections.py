"""The corrected reward: what it forgives an agent and what it does not forgive a gold action."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import pytest

from tau_retail_env.agents.bad import BAD_AGENTS
from tau_retail_env.agents.base import Agent
from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.env import TauRetailEnv
from tau_retail_env.episodes.plan import EpisodeRequest
from tau_retail_env.episodes.player import play_episode
from tau_retail_env.errors import MissingDependencyError
from tau_retail_env.messages import AgentMessage, RewardBreakdown, ToolCall
from tau_retail_env.sources import load_tasks, open_shop
from tau_retail_env.sources.tau2.editions import DIGESTS
from tau_retail_env.tasks import Task
from tau_retail_env.tasks.writes import WRITE_TOOLS
from tau_retail_env.users import ScriptedUser, UserMessage
from tau_retail_env.users.scripted.story import story_of
from tau_retail_env.world.assertions import Called
from tau_retail_env.world.corrections import CORRECTIONS, corrected_changes, corrected_task

CORRUPTED = ("20", "21", "36", "37", "100")
FOR_ITSELF = ("18", "91", "107")


def tasks_of(version: str) -> dict[str, Task]:
    try:
        return {task.id.removeprefix("tau2/"): task for task in load_tasks("tau2", "base", task_version=version)}
    except MissingDependencyError as error:
        pytest.skip(f"needs τ² {version}: {error}")


class CustomerOf:
    """The scripted customer of the corrected task: it wants what the corrected gold actions do."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._customer = ScriptedUser(open_shop(task.source, task.version).database)

    def reset(self, task: Task, *, seed: int) -> UserMessage:
        return self._customer.reset(self._task, seed=seed)

    def respond(self, message: AgentMessage) -> UserMessage:
        return self._customer.respond(message)


def served(task: Task, agent: Agent, customer: CustomerOf | None = None) -> RewardBreakdown:
    played = play_episode(
        TauRetailEnv(task.source, tasks=[task], user=customer), agent, EpisodeRequest(task.id, seed=0)
    )
    assert played.reward == played.reward_breakdown["official"]
    return played.reward_breakdown


def wanted_by_corrected_gold(task: Task) -> Task:
    """The corrected task, but where a story written by hand asks for what the shop refuses: it is never done anyhow."""
    corrected = corrected_task(task)
    return task if story_of(task) and len(corrected.actions) < len(task.actions) else corrected


@pytest.mark.parametrize("version", DIGESTS)
def test_the_oracle_earns_official_reward_with_a_versions_own_gold_on_every_task(version: str) -> None:
    found = {number: served(task, OracleAgent(task)) for number, task in tasks_of(version).items()}
    assert len(found) == 114
    assert [number for number, told in found.items() if told["official"] != 1.0] == []
    other_gold = [*FOR_ITSELF] if version == "0.2" else []
    assert [number for number, told in found.items() if told["corrected"] != 1.0] == other_gold


@pytest.mark.parametrize("version", DIGESTS)
def test_the_oracle_earns_corrected_reward_with_corrected_gold_on_every_task(version: str) -> None:
    found = {}
    for number, task in tasks_of(version).items():
        wanted = wanted_by_corrected_gold(task)
        found[number] = served(task, OracleAgent(wanted), CustomerOf(wanted))
    assert [number for number, told in found.items() if told["corrected"] != 1.0] == []
    other_gold = [*FOR_ITSELF] if version == "0.2" else []
    assert [number for number, told in found.items() if told["official"] != 1.0] == other_gold


V1_DIFFERING = {
    "dev": "",
    "test": "18 91 108",
    "train": "5 8 10 22 34 42 55 64 130 142 145 206 244 267 305 321 328 331 337 353 361 376 389 395 402 410 412 444 "
    "451 473 497",
}
"""Tasks of v1 whose corrected gold leaves another database behind."""


@pytest.mark.parametrize("split", ["dev", "test", pytest.param("train", marks=pytest.mark.slow)])
def test_on_v1_each_gold_fails_the_others_reward_where_they_differ(split: str, tau_bench: object) -> None:
    official, corrected = {}, {}
    for task in load_tasks("tau_bench", split):
        wanted = wanted_by_corrected_gold(task)
        official[task.id] = served(task, OracleAgent(task))
        corrected[task.id] = served(task, OracleAgent(wanted), CustomerOf(wanted))
    differing = [f"tau_bench/{split}/{number}" for number in V1_DIFFERING[split].split()]
    assert {told["official"] for told in official.values()} == {1.0}
    assert [task_id for task_id, told in official.items() if told["corrected"] != 1.0] == differing
    assert {told["corrected"] for told in corrected.values()} == {1.0}
    assert [task_id for task_id, told in corrected.items() if told["official"] != 1.0] == differing


def turned(task: Task) -> Task:
    """The task with the items of its changes of pending orders listed the other way round."""
    actions = [
        dataclasses.replace(action, arguments=_turned(action.arguments))
        if action.name == "modify_pending_order_items"
        else action
        for action in task.actions
    ]
    return dataclasses.replace(task, actions=tuple(actions))


def _turned(given: Mapping[str, object]) -> dict[str, object]:
    return {name: value[::-1] if isinstance(value, list) else value for name, value in given.items()}


@pytest.mark.parametrize("version", DIGESTS)
@pytest.mark.parametrize("number", CORRUPTED)
def test_another_order_of_the_items_fails_upstream_and_not_when_corrected(version: str, number: str) -> None:
    task = tasks_of(version)[number]
    told = served(task, OracleAgent(turned(task)), CustomerOf(task))
    assert (told["official"], told["corrected"]) == (0.0, 1.0)


def test_each_item_of_a_corrected_order_has_its_own_variant() -> None:
    shop, task = open_shop("tau2"), tasks_of("0.2")["36"]
    write = next(action for action in task.actions if action.name == "modify_pending_order_items")
    order_id, new_items = write.arguments["order_id"], write.arguments["new_item_ids"]
    rows = {}
    for name, place in (("upstream", shop), ("corrected", shop.corrected)):
        world = place.open()
        assert not world.call(ToolCall(write.name, write.arguments)).error
        rows[name] = world.changes()["orders", order_id]
    variants = {item: v for one in shop.database["products"].values() for item, v in one["variants"].items()}
    prices = {variants[item]["price"] for item in new_items}
    assert len(prices) > 1
    assert all(str(price) in rows["corrected"] for price in prices)
    assert not all(str(price) in rows["upstream"] for price in prices)


def test_the_corrected_shop_leaves_upstreams_alone() -> None:
    shop, task = open_shop("tau2"), tasks_of("0.2")["36"]
    before, gold = shop.snapshot_digest(), dict(shop.gold_changes(task))
    assert shop.corrected.gold_changes(task) != gold
    assert shop.gold_changes(task) == gold
    assert shop.snapshot_digest() == shop.corrected.snapshot_digest() == before


def test_what_the_shop_refused_does_not_count_as_written() -> None:
    shop, task = open_shop("tau2"), tasks_of("0.2")["36"]
    calls = [
        Called(ToolCall(action.name, action.arguments), failed=True)
        for action in task.actions
        if action.name in WRITE_TOOLS
    ]
    changes, gold = corrected_changes(shop, task, calls, {})
    assert changes == {}
    assert gold != {}


def test_a_corrected_task_stays_as_it_is() -> None:
    for task in tasks_of("0.2").values():
        assert corrected_task(corrected_task(task)) == corrected_task(task)


def test_only_the_named_tasks_of_a_version_get_other_gold() -> None:
    for version in DIGESTS:
        changed = {number for number, task in tasks_of(version).items() if corrected_task(task) != task}
        of_version = [one for one in CORRECTIONS if one.tool is None and version in one.versions]
        named = {number for one in of_version for number in one.tasks if "/" not in number}
        assert changed == named


def test_no_corrected_gold_of_v1s_train_split_is_refused_or_takes_an_item_for_itself(tau_bench: object) -> None:
    shop = open_shop("tau_bench")
    tasks = load_tasks("tau_bench", "train")
    assert sum(corrected_task(task) != task for task in tasks) == 64
    for task in map(corrected_task, tasks):
        world = shop.open()
        for action in task.actions:
            given = action.arguments
            assert not world.call(ToolCall(action.name, given)).error, task.id
            assert not set(given.get("item_ids", ())) & set(given.get("new_item_ids", ())), task.id


def test_every_correction_is_told_with_its_reason_and_its_source() -> None:
    assert len({one.id for one in CORRECTIONS}) == len(CORRECTIONS)
    assert all(one.reason and one.link.startswith("https://") for one in CORRECTIONS)


@pytest.mark.parametrize("name", BAD_AGENTS)
def test_no_bad_agent_gains_from_a_correction(name: str) -> None:
    for number in (*CORRUPTED, *FOR_ITSELF):
        task = tasks_of("0.2")[number]
        assert served(task, BAD_AGENTS[name](task))["corrected"] == 0.0
