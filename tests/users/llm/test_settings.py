"""The block `user:` is checked before anything is sent, and holds the name of the key's variable only."""

from __future__ import annotations

from pathlib import Path

import pytest

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.users.llm.settings import OPENAI_URL, ApiSettings

PRICES = {"usd_per_million_input_tokens": 2.5, "usd_per_million_output_tokens": 10}


def test_only_the_model_is_needed():
    settings = ApiSettings.read("gpt-4o", None)
    assert (settings.model, settings.base_url, settings.api_key_env) == ("gpt-4o", OPENAI_URL, "OPENAI_API_KEY")


def test_a_null_keeps_the_default():
    block = {"timeout_s": None, "budget_usd": None, "cassette": None}
    assert ApiSettings.read("m", block) == ApiSettings.read("m", {})


def test_numbers_and_addresses_come_in_one_form():
    settings = ApiSettings.read("m", {"base_url": "http://localhost:8000/v1/", "timeout_s": 5, "cassette": "~/c.jsonl"})
    assert (settings.base_url, settings.timeout_s) == ("http://localhost:8000/v1", 5.0)
    assert settings.cassette == str(Path.home() / "c.jsonl")


def test_a_budget_with_prices_is_taken():
    assert ApiSettings.read("m", {"budget_usd": 1, **PRICES}).budget_usd == 1.0


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({"tempreature": 1}, "user.tempreature: unknown key. Did you mean 'temperature'"),
        ({"model": "other"}, "user.model: unknown key. user_model names the model"),
        ({"budget_usd": 0, **PRICES}, "user.budget_usd: found 0, expected more than 0"),
        ({"budget_usd": -1, **PRICES}, "user.budget_usd: found -1"),
        ({"budget_usd": 5}, "user.usd_per_million_input_tokens is missing: budget_usd needs"),
        ({"usd_per_million_input_tokens": 5}, "user.usd_per_million_output_tokens is missing"),
        ({"base_url": "localhost:8000"}, "user.base_url: found 'localhost:8000'"),
        ({"base_url": "ftp://host/v1"}, "user.base_url"),
        ({"base_url": "http://host:port/v1"}, "user.base_url"),
        ({"base_url": 8000}, "user.base_url: found 8000"),
        ({"base_url": "http://h/v1/chat/completions"}, "without the end: 'http://h/v1'"),
        ({"timeout_s": 0}, "user.timeout_s: found 0, expected more than 0"),
        ({"timeout_s": "60"}, "user.timeout_s: found '60', expected a number"),
        ({"timeout_s": float("nan")}, "user.timeout_s"),
        ({"max_retries": -1}, "user.max_retries: found -1"),
        ({"max_retries": True}, "user.max_retries: found True"),
        ({"max_concurrency": 0}, "user.max_concurrency: found 0"),
        ({"max_tokens": 0}, "user.max_tokens: found 0"),
        ({"temperature": -0.1}, "user.temperature: found -0.1"),
        ({"seed": 1.5}, "user.seed: found 1.5"),
        ({"cassette": ""}, "user.cassette: found ''"),
    ],
)
def test_what_cannot_be_used_is_named(block, words):
    with pytest.raises(InvalidValueError, match="user") as error:
        ApiSettings.read("m", block)
    assert words in str(error.value)


@pytest.mark.parametrize("model", [None, "", " ", 4])
def test_a_model_must_be_named(model):
    with pytest.raises(InvalidValueError, match="user_model: found"):
        ApiSettings.read(model, {})


def test_a_folder_is_no_cassette(tmp_path):
    with pytest.raises(InvalidValueError, match="is a folder"):
        ApiSettings.read("m", {"cassette": str(tmp_path)})


@pytest.mark.parametrize(
    "block",
    [
        {"api_key_env": "sk-secret-1234"},
        {"api_key_env": "sk_secret_1234"},
        {"api_key_env": "skÄsecret1234"},
        {"api_key_env": "SK_SECRET_1234\n"},
        {"base_url": "https://sk-secret-1234@host/v1"},
        {"base_url": "https://host/v1?key=sk-secret-1234"},
    ],
)
def test_a_key_in_the_wrong_place_is_refused_and_not_repeated(block):
    with pytest.raises(InvalidValueError) as error:
        ApiSettings.read("m", block)
    assert "secret" not in str(error.value).lower()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:1/v1", True),
        ("http://127.8.8.8/v1", True),
        ("http://[::1]:80/v1", True),
        ("http://localhost/v1", True),
        ("http://localhost.example.com/v1", False),
        ("http://10.0.0.1/v1", False),
        (OPENAI_URL, False),
    ],
)
def test_a_server_on_this_machine_is_known_by_its_address(url, expected):
    assert ApiSettings.read("m", {"base_url": url}).is_loopback is expected
