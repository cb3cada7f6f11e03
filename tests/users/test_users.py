"""Making a customer by the name of its strategy, or a mixture by weights."""

from __future__ import annotations

from typing import Any

import pytest

from tau_retail_env import users
from tau_retail_env.errors import InvalidValueError, UserSetupError
from tau_retail_env.tasks import Task
from tau_retail_env.users import API_STRATEGIES, ScriptedUser, check_user, make_user, user_weights
from tau_retail_env.users.human import HumanUser
from tau_retail_env.users.llm.background import close_background
from tau_retail_env.users.llm.simulators import ApiUser
from tau_retail_env.users.mixed import MixedUser
from tests.users.llm.server import ChatServer

NOWHERE = "http://127.0.0.1:9/v1"
"""Nobody listens here: whoever asks a server fails."""
SHOP: dict[str, Any] = {"users": {}, "orders": {}, "products": {}}


def test_scripted_is_a_strategy() -> None:
    assert isinstance(make_user("scripted", None, SHOP), ScriptedUser)


def test_an_unknown_strategy_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidValueError, match=r"user_strategy 'script'.*scripted"):
        make_user("script", None, SHOP)


def test_an_unknown_key_of_its_config_is_refused_by_name() -> None:
    with pytest.raises(InvalidValueError, match=r"user\.phrasing: unknown key\. Did you mean 'phrasings'"):
        make_user("scripted", {"phrasing": "train"}, SHOP)


def test_an_unknown_value_of_its_config_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="'test'"):
        make_user("scripted", {"phrasings": "test"}, SHOP)


def test_a_task_of_somebody_who_is_no_customer_is_refused() -> None:
    task = Task("x/1", "x", "retail", "train", "", (), user_id="nobody_1")
    with pytest.raises(InvalidValueError, match="nobody_1"):
        make_user("scripted", None, SHOP).reset(task, seed=0)


@pytest.mark.parametrize("strategy", API_STRATEGIES)
def test_making_an_api_customer_asks_no_server(strategy: str) -> None:
    customer = make_user(strategy, {"base_url": NOWHERE}, SHOP, model="m")
    assert isinstance(customer, ApiUser)
    assert customer.strategy == strategy


@pytest.mark.parametrize("model", [None, "", " "])
@pytest.mark.parametrize("strategy", ["llm", {"scripted": 0.5, "react": 0.5}])
def test_an_api_customer_without_a_model_is_refused(strategy: Any, model: str | None) -> None:
    with pytest.raises(InvalidValueError, match="user_model"):
        make_user(strategy, {"base_url": NOWHERE}, SHOP, model=model)


@pytest.mark.parametrize("strategy", ["scripted", "human", {"scripted": 1.0}])
def test_a_model_that_nobody_needs_is_refused(strategy: Any) -> None:
    with pytest.raises(InvalidValueError, match="needs no model"):
        make_user(strategy, None, SHOP, model="m")


def test_a_mixture_splits_its_config_by_key() -> None:
    config = {"phrasings": "all", "base_url": NOWHERE, "temperature": 0.5}
    customer = make_user({"scripted": 0.7, "llm": 0.3}, config, SHOP, model="m")
    assert isinstance(customer, MixedUser)


@pytest.mark.parametrize(
    ("strategy", "key"),
    [
        ("llm", "phrasings"),
        ("scripted", "base_url"),
        ("human", "phrasings"),
        ("llm", "model"),
        ({"scripted": 0.5, "human": 0.5}, "base_url"),
        ({"llm": 0.5, "react": 0.5}, "phrasings"),
        ({"scripted": 0.5, "react": 0.5}, "base_ur"),
    ],
)
def test_a_key_of_a_kind_that_does_not_play_is_refused_by_name(strategy: Any, key: str) -> None:
    needs_model = "llm" in strategy or "react" in strategy
    with pytest.raises(InvalidValueError, match=rf"user\.{key}: "):
        make_user(strategy, {key: "all"}, SHOP, model="m" if needs_model else None)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"scripted:0.7": None, "llm:0.3": None}, r"found 'scripted:0.7' without a weight; YAML wants a space after"),
        ({"scripted": 0.7, "llm": 0.2}, r"scripted: 0.7, llm: 0.2} sum to 0.9, expected 1"),
        ({"scripted": 0.7, "llm": 0.300002}, "sum to 1"),
        ({}, "sum to 0"),
        ({"scripted": 1.5, "llm": -0.5}, "'llm' is -0.5"),
        ({"scripted": float("nan")}, "'scripted' is nan"),
        ({"scripted": float("inf")}, "'scripted' is inf"),
        ({"scripted": "1"}, "'scripted' is '1'"),
        ({"scripted": True}, "'scripted' is True"),
        ({"script": 1.0}, "user_strategy 'script'.*Did you mean 'scripted'"),
        ({"scripted": 0.5, "mixed": 0.5}, "user_strategy 'mixed'"),
        (["scripted", "llm"], "expected a name"),
        (None, "expected a name"),
    ],
)
def test_weights_that_make_no_mixture_are_refused(weights: Any, words: str) -> None:
    with pytest.raises(InvalidValueError, match=words):
        make_user(weights, {"base_url": NOWHERE}, SHOP, model="m")


def test_weights_may_miss_a_sum_of_1_by_rounding() -> None:
    assert user_weights({"scripted": 0.3333333, "llm": 0.3333333, "react": 0.3333333}).keys() == {
        "scripted",
        "llm",
        "react",
    }


def test_a_weight_of_0_is_a_kind_that_does_not_play() -> None:
    assert user_weights({"scripted": 1, "llm": 0}) == {"scripted": 1.0}
    make_user({"scripted": 1, "llm": 0}, None, SHOP)


def test_a_person_can_be_the_customer() -> None:
    assert isinstance(make_user("human", None, SHOP), HumanUser)


def test_only_an_api_customer_is_checked() -> None:
    for strategy in ("scripted", "human"):
        check_user(strategy, None)
    with ChatServer() as server:
        check_user({"scripted": 0.5, "llm": 0.5}, {"base_url": server.base_url}, model="tiny")
        with pytest.raises(UserSetupError, match="'small'"):
            check_user("verify", {"base_url": server.base_url}, model="smal")
    close_background()


def test_a_name_that_the_room_has_not_is_refused() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Nobody'"):
        users.Nobody  # noqa: B018
