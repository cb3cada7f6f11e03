"""Making a customer by the name of its strategy."""

from __future__ import annotations

from typing import Any

import pytest

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.tasks import Task
from tau_retail_env.users import ScriptedCustomer, make_customer

SHOP: dict[str, Any] = {"users": {}, "orders": {}, "products": {}}


def test_scripted_is_a_strategy() -> None:
    assert isinstance(make_customer("scripted", None, SHOP), ScriptedCustomer)


def test_an_unknown_strategy_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidValueError, match=r"user_strategy 'script'.*scripted"):
        make_customer("script", None, SHOP)


def test_an_unknown_key_of_its_config_is_refused_by_name() -> None:
    with pytest.raises(InvalidValueError, match=r"'phrasing'.*phrasings"):
        make_customer("scripted", {"phrasing": "train"}, SHOP)


def test_an_unknown_value_of_its_config_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="'test'"):
        make_customer("scripted", {"phrasings": "test"}, SHOP)


def test_a_task_of_somebody_who_is_no_customer_is_refused() -> None:
    task = Task("x/1", "x", "retail", "train", "", (), user_id="nobody_1")
    with pytest.raises(InvalidValueError, match="nobody_1"):
        make_customer("scripted", None, SHOP).reset(task, seed=0)
