"""Redrawn identifiers: all that names something is new, and nothing that is compared or added up."""

import json
import re

import pytest

from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.env import TauRetailEnv
from tau_retail_env.episodes.plan import EpisodeRequest
from tau_retail_env.episodes.player import play_episode
from tau_retail_env.local.identifiers import IDENTIFIER, redraw_identifiers
from tau_retail_env.sources.generated import SERIES2
from tau_retail_env.sources.tau2.tasks import shop_database


def redrawn(text: str) -> str:
    return redraw_identifiers([{"role": "user", "content": text}], "seed")[0]["content"]


@pytest.mark.parametrize(
    "text",
    [
        "#W2378156",
        "9408160950",
        "credit_card_9513926",
        "tracking id 746342064230",
        "zip 19122.",
        "mia_garcia_4516",
        "mia.garcia2723@example.com",
        "my card ending in 4275",
        '"last_four": "9212"',
    ],
)
def test_what_names_something_gets_another_number_of_the_same_length(text: str) -> None:
    assert redrawn(text) != text
    assert re.sub(r"\d", "0", redrawn(text)) == re.sub(r"\d", "0", text)


@pytest.mark.parametrize(
    "text", ["1925.1 - 1802.33", "$12480.50", "1000ml", "1080p", "10000mAh", "2000 pieces", "since 2019"]
)
def test_amounts_and_options_keep_theirs(text: str) -> None:
    assert redrawn(text) == text


def test_every_identifier_of_the_shop_is_known_as_one_and_no_price() -> None:
    shop = shop_database()
    users, orders = shop["users"], shop["orders"]
    variants = [variant for product in shop["products"].values() for variant in product["variants"].values()]
    names = [*users, *orders, *(variant["item_id"] for variant in variants), *shop["products"]]
    names += [user["email"] for user in users.values()] + [user["address"]["zip"] for user in users.values()]
    names += [method for user in users.values() for method in user["payment_methods"]]
    assert [name for name in names if not IDENTIFIER.search(name)] == []
    numbers = [json.dumps(variant["price"]) for variant in variants] + [
        value for variant in variants for value in variant["options"].values()
    ]
    numbers += [json.dumps(order["payment_history"][0]["amount"]) for order in orders.values()]
    assert [number for number in numbers if IDENTIFIER.search(number)] == []


def test_what_is_computed_in_a_conversation_is_still_right() -> None:
    tasks = SERIES2.generate("train2", 40, seed=1, weights={"sum": 1, "difference": 1})
    env = TauRetailEnv(source="generated", tasks=tasks)
    for task in tasks:
        messages = play_episode(env, OracleAgent(task), EpisodeRequest(task.id, 0)).messages
        said = [{"role": message["role"], "content": message.get("content") or ""} for message in messages]
        after = redraw_identifiers(said, "seed")
        answers = [message["content"].lower().replace(",", "") for message in after if message["role"] == "assistant"]
        amounts = [output for output in task.outputs if "." in output]
        assert all(any(amount in answer for answer in answers) for amount in amounts), task.id
