"""What the options of a command make of a customer."""

from __future__ import annotations

import os

import pytest

from tau_retail_env.cli.user_options import UserChoice
from tau_retail_env.errors import InvalidValueError


def test_values_are_read_as_in_a_run():
    settings = ["base_url=http://127.0.0.1:8000/v1", "user.temperature=0.7", "max_tokens=", "cassette=a=b.jsonl"]
    choice = UserChoice.read("{scripted: 0.75, llm: 0.25}", "tiny", settings)
    assert choice.strategy == {"scripted": 0.75, "llm": 0.25}
    assert choice.strategies == ("scripted", "llm")
    assert choice.settings == {
        "base_url": "http://127.0.0.1:8000/v1",
        "temperature": 0.7,
        "max_tokens": None,
        "cassette": "a=b.jsonl",
    }


@pytest.mark.parametrize(
    "typed", ["{scripted:0.75,llm:.25}", "{scripted: 0.75,llm:.25}", '{"scripted":0.75,"llm":.25}']
)
def test_weights_need_no_spaces(typed):
    assert UserChoice.read(typed, "tiny", []).strategy == {"scripted": 0.75, "llm": 0.25}


def test_options_can_be_typed_again():
    settings = ["phrasings=train"]
    assert UserChoice.read("scripted", None, []).as_typed() == ""
    assert UserChoice.read("scripted", None, settings).as_typed() == " --user phrasings=train"
    mixed = UserChoice.read("{scripted: 1}", "a model", settings)
    assert mixed.as_typed() == " --user-strategy '{scripted: 1}' --user-model 'a model' --user phrasings=train"


def test_only_words_that_come_again_are_repeatable():
    assert UserChoice.read("scripted", None, []).is_repeatable
    assert not UserChoice.read("llm", "tiny", []).is_repeatable
    assert UserChoice.read("llm", "tiny", ["cassette=a.jsonl"]).is_repeatable


@pytest.mark.parametrize("setting", ["sk-fake-5f1d0c", "=sk-fake-5f1d0c", "a b=sk-fake-5f1d0c"])
def test_what_is_no_setting_is_not_repeated(setting):
    with pytest.raises(InvalidValueError, match="word 2") as error:
        UserChoice.read("llm", "tiny", ["temperature=0", setting])
    assert "5f1d0c" not in str(error.value)


def test_a_value_that_is_no_yaml_is_not_repeated():
    with pytest.raises(InvalidValueError, match="api_key_env: the value is not valid YAML") as error:
        UserChoice.read("llm", "tiny", ["api_key_env={sk-fake-5f1d0c"])
    assert "5f1d0c" not in str(error.value)


def test_a_key_in_an_address_is_in_no_command_that_is_shown(monkeypatch):
    monkeypatch.setattr(os, "environ", os.environ.copy())
    choice = UserChoice.read("llm", "tiny", ["user.base_url=http://host/gk7Hq2mZx9RtLw4Vb8Nc/v1", "max_retries=0"])
    address = "http://host/$TAU_RETAIL_URL_KEY_HOST/v1"
    assert choice.settings == {"base_url": address, "max_retries": 0}
    assert choice.as_typed().endswith(f" --user 'user.base_url={address}' max_retries=0")
