"""What the body of a chat completion says, and what is none."""

from __future__ import annotations

import json

import pytest

from tau_retail_env.users.llm.completion import Completion, read_completion
from tau_retail_env.users.llm.faults import Fault
from tau_retail_env.users.llm.settings import ApiSettings
from tau_retail_env.users.usage import Usage

SETTINGS = ApiSettings.read("tiny", {"base_url": "http://127.0.0.1:1/v1"})
PRICED = ApiSettings.read("tiny", {"usd_per_million_input_tokens": 1000, "usd_per_million_output_tokens": 500})
TOKENS = {"prompt_tokens": 7, "completion_tokens": 2}


def body(finish_reason: object = "stop", usage: object = None, **message: object) -> bytes:
    return json.dumps({"choices": [{"message": message, "finish_reason": finish_reason}], "usage": usage}).encode()


def cost_of(usage: object, settings: ApiSettings) -> float | None:
    found = read_completion(body(content="hi", usage=usage), settings)
    assert isinstance(found, Completion)
    return found.usage.cost_usd


def test_a_reply_is_read_with_what_it_took():
    found = read_completion(body("length", {**TOKENS, "cost": 0.5}, content="hi"), SETTINGS)
    assert found == Completion("hi", Usage(prompt_tokens=7, completion_tokens=2, cost_usd=0.5, calls=1), "length")


def test_what_the_server_does_not_tell_is_unknown():
    found = read_completion(b'{"choices": [{"message": {"content": null}}]}', PRICED)
    assert found == Completion("", Usage(calls=1), "")


def test_tokens_times_prices_are_the_cost_where_the_server_reports_none():
    assert cost_of(TOKENS, PRICED) == pytest.approx(0.008)
    assert cost_of({**TOKENS, "cost": 0.5}, PRICED) == 0.5
    assert cost_of(TOKENS, SETTINGS) is None


@pytest.mark.parametrize("cost", [float("nan"), float("inf"), float("-inf"), -0.01, 10**400, True, "1"])
def test_a_cost_that_cannot_be_added_up_is_none(cost):
    assert cost_of({**TOKENS, "cost": cost}, SETTINGS) is None
    assert cost_of({**TOKENS, "cost": cost}, PRICED) == pytest.approx(0.008)


@pytest.mark.parametrize("count", [-1, 10**400, True, 1.5, "7", None])
def test_a_count_of_tokens_that_is_none_makes_the_cost_unknown(count):
    assert cost_of({**TOKENS, "prompt_tokens": count}, PRICED) is None


@pytest.mark.parametrize("told", ["Mei Kovacs said so", 4, None, ["stop"], "x" * 41])
def test_a_finish_reason_that_is_no_name_is_dropped(told):
    found = read_completion(body(told, content="hi"), SETTINGS)
    assert isinstance(found, Completion)
    assert found.finish_reason == ""


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"<html>",
        b"[]",
        b"null",
        b"{}",
        b'{"error": {"message": "overloaded"}}',
        b'{"choices": []}',
        b'{"choices": [{"message": null}]}',
        b'{"choices": [{"text": "hi"}]}',
        b"\xff\xfe",
        body(content=["hi"]),
        body(content=4),
    ],
)
def test_a_body_without_an_answer_is_worth_another_attempt(broken):
    found = read_completion(broken, SETTINGS)
    assert isinstance(found, Fault)
    assert found.fatal is None
    assert found.reason.startswith("a body")
