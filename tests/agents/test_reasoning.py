"""What an agent writes down before a proposal: true to what was read, and enough to make the proposal from."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator

import pytest

from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.agents.proposals import CHANGING_ITEMS
from tau_retail_env.agents.reasoning import reasoning, stock
from tau_retail_env.chat.parsing import parse_message
from tau_retail_env.env import TauRetailEnv
from tau_retail_env.local.practice import Practice, converse
from tau_retail_env.messages import ResetInfo, StepInfo
from tau_retail_env.sources import load_tasks
from tau_retail_env.sources.tau2.tasks import shop_database
from tau_retail_env.tasks.task import Action

CANDIDATE = re.compile(r"(\d{10}) in (#W\d+) \(")
NEW = re.compile(r"Change: (.*?)\. New: (\d{10}) \((.*?), \$([\d.]+)\)\.")
MEANT = re.compile(r"Meant: (\d{10}) in (#W\d+)\.")


@pytest.fixture(scope="module")
def env() -> TauRetailEnv:
    return TauRetailEnv(source="generated", tasks=load_tasks("generated", "train3")[:150])


def thoughts(env: TauRetailEnv) -> Iterator[tuple[OracleAgent, Action, str]]:
    """The oracle when it waits for a yes, what it has proposed, and what that rests on."""
    for number, task in enumerate(env.tasks):
        agent = OracleAgent(task, whole_proposals=True, reads_every_order=number % 2 == 0)
        observation, opening = env.reset(task_id=task.id, seed=1)
        info: ResetInfo | StepInfo = opening
        over = False
        while not over:
            message = agent.act(observation, info)
            if write := agent.proposed:
                yield agent, write, reasoning(agent, write)
            observation, _, terminated, truncated, info = env.step(message)
            over = terminated or truncated


def test_each_item_stands_beside_its_namesakes_and_in_the_order_that_holds_it(env: TauRetailEnv):
    several = 0
    for agent, write, thought in thoughts(env):
        held = {(row["item_id"], order["order_id"]) for order in agent.orders() for row in order["items"]}
        candidates = CANDIDATE.findall(thought)
        assert set(candidates) <= held
        if "item_ids" in write.arguments and agent.order(write):
            meant = [(item_id, write.arguments["order_id"]) for item_id in write.arguments["item_ids"]]
            assert MEANT.findall(thought) == meant
            assert set(meant) <= set(candidates)
            several += len(set(candidates)) > len(meant)
    assert several > 10


def test_the_options_that_change_are_named_and_then_the_variant_that_has_them(env: TauRetailEnv):
    changed = 0
    for agent, write, thought in thoughts(env):
        named = NEW.findall(thought)
        if write.name not in CHANGING_ITEMS or not agent.order(write):
            assert "Change:" not in thought and named == []
            continue
        for (changes, new, options, price), (row, variant) in zip(named, agent.chosen(write), strict=True):
            unlike = [f"{name} {value}" for name, value in variant["options"].items() if row["options"][name] != value]
            assert changes == (", ".join(unlike) or "none")
            assert (new, options) == (variant["item_id"], ", ".join(variant["options"].values()))
            assert float(price) == variant["price"]
            changed += 1
    assert changed > 30


def test_a_list_is_written_down_in_short_and_only_what_can_be_had():
    read = listed = 0
    for product in shop_database()["products"].values():
        available = [one for one in product["variants"].values() if one["available"]]
        short = stock(json.dumps(product))
        assert re.findall(r"\d{10}", short) == [one["item_id"] for one in available]
        assert all(", ".join(one["options"].values()) in short for one in available)
        assert len(short) < len(json.dumps(product)) / 2 or not available
        read, listed = read + 1, listed + len(available)
    assert read == 50 and listed > 300
    assert stock("{laughs} No, thanks.") == ""  # a customer's
    assert stock("Error: Product not found") == stock("Yes, please.") == stock('{"order_id": "#W1"}') == ""


def test_each_list_is_written_down_as_soon_as_it_was_read(env: TauRetailEnv):
    lists = 0
    for task in env.tasks[:60]:
        opened = env.reset(task_id=task.id, seed=1)
        said = converse(env, *opened, OracleAgent(task, whole_proposals=True), Practice(reasons=True))
        for part, following in itertools.pairwise(said.parts):
            text = following[0]["content"]
            if part[-1]["content"].startswith('{"name": "') and '"variants"' in part[-1]["content"]:
                assert text.startswith(f"<think>{stock(part[-1]['content'])}")
                lists += 1
            else:
                assert "in stock:" not in text
    assert lists > 20


def test_status_and_payment_of_the_order_come_last(env: TauRetailEnv):
    for agent, write, thought in thoughts(env):
        if order := agent.order(write):
            paid = order["payment_history"][0]["payment_method_id"]
            assert f"{order['order_id']} is {order['status']}, paid with {paid}" in thought
            assert thought.endswith(".")
        else:
            assert thought == ""


def test_neither_customer_nor_tools_hear_of_it_and_the_reward_stays(env: TauRetailEnv):
    reasoned = 0
    for task in env.tasks[:40]:
        opened = env.reset(task_id=task.id, seed=1)
        plain = converse(env, *opened, OracleAgent(task, whole_proposals=True))
        opened = env.reset(task_id=task.id, seed=1)
        said = converse(env, *opened, OracleAgent(task, whole_proposals=True), Practice(reasons=True))
        assert said.reward == plain.reward == 1.0
        for part, without in zip(said.parts, plain.parts, strict=True):
            if part[0]["role"] != "assistant" or part == said.parts[0]:
                assert part == without
                continue
            text = part[0]["content"]
            assert parse_message(text) == parse_message(without[0]["content"])
            reasoned += text.startswith("<think>")
    assert reasoned > 20


def test_an_order_has_the_status_that_the_tools_told_last(env: TauRetailEnv):
    changed = checked = 0
    for task in env.tasks:
        opened = env.reset(task_id=task.id, seed=1)
        said = converse(env, *opened, OracleAgent(task, whole_proposals=True), Practice(reasons=True))
        status: dict[str, str] = {}
        for message in itertools.chain.from_iterable(said.parts):
            text = message["content"]
            if text.startswith('{"order_id"'):
                order = json.loads(text)
                changed += status.get(order["order_id"], order["status"]) != order["status"]
                status[order["order_id"]] = order["status"]
            elif text.startswith("<think>"):
                for order_id, told in re.findall(
                    r"(#W\d+) \(((?:pending|delivered|processed|cancelled)[^:]*)\):", text
                ):
                    assert told == status[order_id]
                    checked += 1
    assert changed > 10 and checked > 30
