"""The oracle whose proposals hold all that the call will need, and what customers make of them."""

from __future__ import annotations

import json

import pytest

from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.env import TauRetailEnv
from tau_retail_env.episodes.plan import EpisodeRequest
from tau_retail_env.episodes.player import play_episode
from tau_retail_env.sources import load_tasks
from tau_retail_env.sources.tau2.tasks import shop_database
from tau_retail_env.tasks import WRITE_TOOLS

SOURCES = [("tau2", "base", 114), ("generated", "train", 100), ("generated", "train2", 100)]


@pytest.mark.parametrize(("source", "split", "num"), SOURCES)
def test_every_customer_agrees_to_proposals_that_say_all(source: str, split: str, num: int) -> None:
    tasks = load_tasks(source, split)[:num]
    env = TauRetailEnv(source=source, tasks=tasks)
    played = [play_episode(env, OracleAgent(task, whole_proposals=True), EpisodeRequest(task.id, 0)) for task in tasks]
    assert [one.task_id for one in played if one.reward != 1.0] == []


def test_what_is_confirmed_before_a_change_is_the_variant_as_the_list_has_it() -> None:
    variants = {id: one for product in shop_database()["products"].values() for id, one in product["variants"].items()}
    changed = 0
    tasks = load_tasks("tau2", "base")
    env = TauRetailEnv(source="tau2", tasks=tasks)
    for task in tasks:
        said = ""
        for message in play_episode(env, OracleAgent(task, whole_proposals=True), EpisodeRequest(task.id, 0)).messages:
            for call in message.get("tool_calls", ()):
                arguments = json.loads(call["function"]["arguments"])
                for item_id in arguments.get("new_item_ids", ()) if call["function"]["name"] in WRITE_TOOLS else ():
                    options = ", ".join(f"{name} {value}" for name, value in variants[item_id]["options"].items())
                    assert f"to {options} (${variants[item_id]['price']}, item {item_id})" in said
                    changed += 1
            if message["role"] == "assistant" and message.get("content"):
                said = message["content"]
    assert changed > 50


def test_what_is_confirmed_holds_the_orders_status_and_all_ids_of_the_call() -> None:
    env = TauRetailEnv(source="tau2", tasks=load_tasks("tau2", "base"))
    checked = set()
    for task in env.tasks:
        said = ""
        for message in play_episode(env, OracleAgent(task, whole_proposals=True), EpisodeRequest(task.id, 0)).messages:
            for call in message.get("tool_calls", ()):
                name, given = call["function"]["name"], json.loads(call["function"]["arguments"])
                if name in WRITE_TOOLS and "order_id" in given:
                    status = "Delivered" if "delivered" in name else "Pending"
                    assert f"{status} order {given['order_id']}: " in said
                    assert all(f"(item {item_id})" in said for item_id in given.get("item_ids", ()))
                    checked.add(name)
            if message["role"] == "assistant" and message.get("content"):
                said = message["content"]
    assert len(checked) == 6
