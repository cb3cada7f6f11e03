"""What an error status and a Retry-After mean."""

from __future__ import annotations

import email.utils

import pytest

from tau_retail_env.errors import UserSetupError
from tau_retail_env.users.base import UserError
from tau_retail_env.users.llm.faults import Fault, fault_of_status, retry_after_s
from tau_retail_env.users.llm.settings import ApiSettings

SETTINGS = ApiSettings.read("tiny", {"base_url": "http://127.0.0.1:1/v1"})
SECRET = "You are Mei Kovacs and want to return the desk lamp"
MESSAGES = [{"role": "system", "content": SECRET}]


def fault(status: int, message: str = "", code: str | None = None, key: str = "") -> Fault:
    body = {"message": message, "code": code}
    return fault_of_status(status, body, {}, SETTINGS, MESSAGES, key)


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 529])
def test_statuses_that_pass_are_worth_another_attempt(status):
    found = fault(status)
    assert (found.fatal, found.reason) == (None, f"HTTP {status}")
    assert found.is_outage == (status != 429)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_ends_the_run_and_names_the_variable(status):
    found = fault(status, "Incorrect API key provided: sk-secret", key="sk-secret")
    assert isinstance(found.fatal, UserSetupError)
    assert "OPENAI_API_KEY" in str(found.fatal)
    assert "sk-secret" not in str(found.fatal)


@pytest.mark.parametrize(("status", "code"), [(402, None), (429, "insufficient_quota")])
def test_an_account_without_credit_ends_the_run(status, code):
    assert "no credit left" in str(fault(status, code=code).fatal)


def test_a_refused_request_tells_the_servers_reason():
    found = fault(400, "Unsupported value: 'temperature' does not support 0.0 with this model.")
    assert isinstance(found.fatal, UserError)
    assert str(found.fatal).endswith("HTTP 400: Unsupported value: 'temperature' does not support 0.0 with this model.")


@pytest.mark.parametrize(
    "message",
    [f"Flagged: {SECRET}", "Flagged: want to return the", "in 'Mei\nKovacs and want'", "bad key sk-secret-1", SECRET],
)
def test_the_servers_reason_is_not_told_where_it_quotes_conversation_or_key(message):
    told = str(fault(400, message, code="flagged", key="sk-secret-1").fatal)
    assert told.endswith("HTTP 400: flagged")


@pytest.mark.parametrize("name", ["code", "type"])
@pytest.mark.parametrize(
    "value", [SECRET, "Kovacs", "sk-secret-1", "sk_secret_1", "9911", 9911, {"input": SECRET}, "x" * 41]
)
def test_a_code_that_is_more_than_a_name_is_not_told(name, value):
    body = {"message": SECRET, name: value}
    told = str(fault_of_status(400, body, {}, SETTINGS, MESSAGES, "sk_secret_1").fatal)
    assert told.endswith("HTTP 400: no reason given")


@pytest.mark.parametrize(
    ("value", "expected"),
    [("3", 3.0), ("0.5", 0.5), ("-4", 0.0), ("", None), ("soon", None), ("nan", None), ("inf", None)],
)
def test_retry_after_in_seconds(value, expected):
    assert retry_after_s({"retry-after": value}) == expected


def test_retry_after_as_a_date():
    now = 1_700_000_000.0
    assert retry_after_s({"retry-after": email.utils.formatdate(now + 90, usegmt=True)}, now) == 90.0
    assert retry_after_s({"retry-after": email.utils.formatdate(now - 90, usegmt=True)}, now) == 0.0


def test_without_the_header_nothing_is_asked_for():
    assert retry_after_s({}) is None
