"""An endpoint gets its answer whatever the network does, or says clearly why not; on a real server."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import Any

import pytest

from tau_retail_env.errors import BudgetError, MissingDependencyError, UserSetupError
from tau_retail_env.users.base import UserError
from tau_retail_env.users.llm import backoff
from tau_retail_env.users.llm.background import close_background
from tau_retail_env.users.llm.budget import RUN_VARIABLE, Ledger
from tau_retail_env.users.llm.completion import Completion
from tau_retail_env.users.llm.endpoint import Endpoint
from tau_retail_env.users.llm.faults import Fault, read_models
from tau_retail_env.users.llm.settings import ApiSettings
from tests.users.llm.server import FINAL, RETRYABLE, ChatServer, Request, always, script, seeded

MESSAGES = [
    {"role": "system", "content": "You are Mei Kovacs, zip 28236."},
    {"role": "user", "content": "Hi! Your name?"},
]
SECRET = "sk-fake-0123456789abcdef"
PRICES = {"usd_per_million_input_tokens": 1e6, "usd_per_million_output_tokens": 1e6}


@pytest.fixture(autouse=True)
def _quick_and_alone(monkeypatch, tmp_path) -> Iterator[None]:
    """Short pauses, a run and a folder of the test's own, no key, and no connection left from another test."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(backoff, "FIRST_BACKOFF_S", 0.01)
    monkeypatch.setattr(backoff, "LONGEST_BACKOFF_S", 0.05)
    monkeypatch.setattr("tau_retail_env.users.llm.endpoint.CHECK_PAUSE_S", 0.01)
    monkeypatch.setenv(RUN_VARIABLE, f"test-{os.urandom(6).hex()}")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    yield
    close_background()


def endpoint(server: ChatServer, **block: Any) -> Endpoint:
    return Endpoint(ApiSettings.read("tiny", {"base_url": server.base_url, "timeout_s": 0.3, **block}))


def ask(asked: Endpoint, context: str = "task/0/0", *, seed: int | None = None) -> Completion:
    return asked.complete(MESSAGES, context=context, seed=seed)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("deep", "a body that is not JSON"),
        ("long", r"an answer of more than 2 MB \(user.max_response_mb\)"),
        ("long_error", "an answer of more than 2 MB"),
        ("packed", "a packed body, which was not asked for"),
    ],
)
def test_an_answer_without_measure_fails_that_attempt_and_no_other(fault, words):
    with ChatServer(plan=script([fault, None, fault])) as server:
        asked = endpoint(server, max_response_mb=2, timeout_s=10)
        assert ask(asked).content == "reply 1"
        with pytest.raises(UserError, match=words):
            ask(endpoint(server, max_response_mb=2, timeout_s=10, max_retries=0))
        assert ask(asked).content == "reply 3"
    assert all(request.headers["accept-encoding"] == "identity" for request in server.requests)


def test_no_redirect_leads_the_conversation_to_another_host():
    with ChatServer() as other, ChatServer(plan=always("redirect"), models=None, redirects_to=other.base_url) as server:
        with pytest.raises(UserError, match="HTTP 307, a redirect, which is not followed"):
            ask(endpoint(server, max_retries=0))
        with pytest.raises(UserSetupError, match=r"redirect.*correct the address"):
            endpoint(server).check()
    assert (len(other.requests), other.connections) == (0, 0)


def test_a_list_of_models_nested_too_deeply_is_a_fault():
    assert read_models(b'{"data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}") == Fault(
        "a list of models that cannot be read", False
    )


def test_an_answer_comes_with_what_it_took():
    with ChatServer(reply=lambda request: "my name is Mei") as server:
        answer = ask(endpoint(server, usd_per_million_input_tokens=1000, usd_per_million_output_tokens=500))
    usage = answer.usage
    assert (answer.content, answer.finish_reason) == ("my name is Mei", "stop")
    assert (usage.prompt_tokens, usage.completion_tokens, usage.calls, usage.retries) == (9, 4, 1, 0)
    assert usage.cost_usd == pytest.approx(0.011)
    assert usage.latency_s > 0


def test_the_cost_that_the_server_reports_counts():
    with ChatServer(cost_usd=0.125) as server:
        assert ask(endpoint(server, **PRICES)).usage.cost_usd == 0.125


def test_without_prices_the_cost_is_unknown():
    with ChatServer() as server:
        assert ask(endpoint(server)).usage.cost_usd is None


@pytest.mark.parametrize(("block", "cost_usd"), [({}, None), (PRICES, 0.0)])
def test_a_call_without_a_reply_costs_nothing_where_prices_are_known(block, cost_usd):
    with ChatServer(plan=always("500")) as server, pytest.raises(UserError) as error:
        ask(endpoint(server, max_retries=0, **block))
    assert error.value.usage is not None
    assert error.value.usage.get("cost_usd") == cost_usd


def test_a_cost_that_the_server_reports_counts_after_an_attempt_without_a_reply():
    with ChatServer(cost_usd=0.125, plan=script(["500"])) as server:
        assert ask(endpoint(server)).usage.cost_usd == 0.125


@pytest.mark.parametrize("cost_usd", [float("nan"), float("inf"), -1.0])
def test_a_budget_is_not_defeated_by_the_cost_that_a_server_reports(cost_usd):
    with ChatServer(cost_usd=cost_usd) as server:
        ask(endpoint(server, budget_usd=10, **PRICES))
        with pytest.raises(BudgetError):
            ask(endpoint(server, budget_usd=10, **PRICES))
    assert Ledger().spent_usd == 11


def test_the_settings_and_the_calls_own_seed_are_sent_and_the_context_is_not():
    with ChatServer() as server:
        asked = endpoint(server, temperature=0.5, max_tokens=20, seed=3)
        ask(asked)
        ask(asked, seed=4)
        ask(endpoint(server, temperature=0.0))
    fixed = {"model": "tiny", "messages": MESSAGES}
    assert [dict(request.body) for request in server.requests] == [
        fixed | {"temperature": 0.5, "max_tokens": 20, "seed": 3},
        fixed | {"temperature": 0.5, "max_tokens": 20, "seed": 4},
        fixed | {"temperature": 0.0},
    ]


@pytest.mark.parametrize("fault", RETRYABLE)
def test_a_fault_that_passes_costs_an_attempt_and_nothing_else(fault):
    with ChatServer(plan=script([fault, fault]), slow_s=1.0) as server:
        answer = ask(endpoint(server))
    assert answer.content == "reply 2"
    assert (answer.usage.retries, len(server.requests)) == (2, 3)
    assert answer.usage.failures == 0


def test_tokens_that_are_slow_but_in_time_are_waited_for():
    with ChatServer(plan=script(["slow_tokens"]), slow_s=0.1) as server:
        assert ask(endpoint(server, timeout_s=5)).content == "reply 0"


def test_after_an_empty_reply_the_seed_is_another():
    with ChatServer(plan=script(["empty", "500", "empty"])) as server:
        ask(endpoint(server, seed=7))
    assert [request.body["seed"] for request in server.requests] == [7, 8, 8, 9]


@pytest.mark.parametrize("max_tokens", [None, 64])
def test_a_model_that_used_its_tokens_up_before_a_word_is_told_from_other_empty_replies(max_tokens):
    with ChatServer(plan=always("empty"), finish_reason="length") as server, pytest.raises(UserError) as error:
        ask(endpoint(server, max_retries=0, max_tokens=max_tokens))
    hint = ": user.max_tokens=64 was used up before a word, raise it"
    assert str(error.value).endswith("an empty reply (finish_reason length)" + (hint if max_tokens else ""))


def test_every_reply_is_paid_even_an_empty_one():
    with ChatServer(plan=script(["empty"])) as server:
        usage = ask(endpoint(server, **PRICES)).usage
    assert (usage.calls, usage.prompt_tokens, usage.cost_usd) == (2, 18, 20.0)


@pytest.mark.parametrize("fault", RETRYABLE)
def test_patience_ends_with_an_error_that_names_endpoint_attempts_and_reason(fault):
    with ChatServer(plan=always(fault), slow_s=1.0) as server:
        with pytest.raises(UserError) as error:
            ask(endpoint(server, max_retries=2, timeout_s=0.1, temperature=1))
        told = str(error.value)
        assert server.base_url in told
        assert "3 attempts in " in told or fault == "429_date"
        assert "the last: " in told
        assert error.value.usage is not None
        assert error.value.usage["failures"] == 1.0


def test_a_server_that_asks_for_more_patience_than_there_is_gets_none():
    with (
        ChatServer(plan=always("429_retry_after"), retry_after_s=3600) as server,
        pytest.raises(UserError, match=r"1 attempt in .* asks to wait 3600 s"),
    ):
        ask(endpoint(server))


def test_retry_after_is_waited_for():
    with ChatServer(plan=script(["429_retry_after"]), retry_after_s=0.4) as server:
        assert ask(endpoint(server, timeout_s=5)).usage.latency_s >= 0.4


@pytest.mark.parametrize("fault", FINAL)
def test_what_no_attempt_mends_is_not_tried_again(fault):
    with ChatServer(plan=always(fault)) as server:
        with pytest.raises(UserSetupError):
            ask(endpoint(server))
        assert len(server.requests) == 1


def test_a_wrong_key_names_its_variable(monkeypatch):
    monkeypatch.setenv("MY_KEY", SECRET)
    with ChatServer(key="another") as server, pytest.raises(UserSetupError, match=r"MY_KEY"):
        ask(endpoint(server, api_key_env="MY_KEY"))


def test_an_unknown_model_is_named_with_the_nearest():
    with (
        ChatServer(models=["tiny-1", "huge"]) as server,
        pytest.raises(UserSetupError, match=r"no model 'tiny'; it has: tiny-1, huge. Did you mean 'tiny-1'"),
    ):
        ask(endpoint(server))


def test_a_request_refused_after_others_were_answered_ends_its_episode_only():
    with ChatServer(plan=script([None, "400"])) as server:
        asked = endpoint(server)
        ask(asked)
        with pytest.raises(UserError, match=r"HTTP 400: so it was planned"):
            ask(asked)
        assert len(server.requests) == 2


def test_without_a_key_a_distant_server_is_not_asked():
    asked = Endpoint(ApiSettings.read("m", {"base_url": "http://customer.invalid/v1", "api_key_env": "MY_KEY"}))
    with pytest.raises(UserSetupError, match=r"MY_KEY is not set: export MY_KEY="):
        ask(asked)


def test_each_endpoint_gets_its_own_key(monkeypatch):
    monkeypatch.setenv("KEY_A", "key-a")
    monkeypatch.setenv("KEY_B", "key-b")
    with ChatServer(key="key-a") as one, ChatServer(key="key-b") as other:
        ask(endpoint(one, api_key_env="KEY_A"))
        ask(endpoint(other, api_key_env="KEY_B"))
    assert one.requests[0].headers["authorization"] == "Bearer key-a"
    assert other.requests[0].headers["authorization"] == "Bearer key-b"


def test_a_mended_key_is_read_by_the_same_process(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "wrong")
    with ChatServer(key="right") as server:
        with pytest.raises(UserSetupError, match=r"HTTP 401"):
            ask(endpoint(server))
        monkeypatch.setenv("OPENAI_API_KEY", "right")
        assert ask(endpoint(server)).content == "reply 0"


def test_two_keys_of_one_variable_share_the_slots(monkeypatch):
    with ChatServer(latency_s=0.2) as server, ThreadPoolExecutor(1) as threads:
        asked = endpoint(server, max_concurrency=1, timeout_s=20)
        first = threads.submit(ask, asked, "a")
        while not server.requests:
            server.closing.wait(0.01)
        monkeypatch.setenv("OPENAI_API_KEY", "another")
        ask(asked, "b")
        assert first.result(30).content == "reply 0"
        assert server.most_at_once == 1


def test_a_key_that_can_be_none_is_refused_without_being_told(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-fäke key")
    with ChatServer() as server, pytest.raises(UserSetupError, match=r"OPENAI_API_KEY") as error:
        ask(endpoint(server))
    assert "fäke" not in str(error.value)


@pytest.mark.parametrize("fault", (*RETRYABLE, *FINAL))
def test_neither_key_nor_conversation_appear_in_errors_logs_or_files(fault, monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    caplog.set_level(logging.DEBUG, logger="tau_retail_env")
    path = tmp_path / "cassette.jsonl"
    with ChatServer(plan=script([None, *[fault] * 2])) as server:
        asked = endpoint(server, cassette=str(path), max_retries=1, timeout_s=0.1)
        ask(asked)
        with pytest.raises((UserError, UserSetupError)) as error:
            ask(asked, "another")
    told = "".join(traceback.format_exception(error.value)) + caplog.text
    assert SECRET not in told + path.read_text()
    assert "Kovacs" not in told


def test_threads_share_one_loop_and_its_connections():
    with ChatServer(latency_s=0.05) as server:
        asked = endpoint(server, max_concurrency=8, timeout_s=20)
        with ThreadPoolExecutor(64) as threads:
            answers = list(threads.map(lambda place: ask(asked, str(place)), range(64)))
    assert len({answer.content for answer in answers}) == 64
    assert server.most_at_once == 8
    assert server.connections <= 16
    assert sum(thread.name == "tau-retail-customers" for thread in threading.enumerate()) == 1


def test_two_hundred_calls_at_once_survive_faults_of_every_kind():
    with ChatServer(plan=seeded(0.3, seed=4), slow_s=0.2, latency_s=0.02) as server:
        asked = endpoint(server, max_concurrency=200, timeout_s=1.5)
        with ThreadPoolExecutor(200) as threads:
            answers = list(threads.map(lambda place: ask(asked, str(place)), range(200)))
    assert all(answer.content.startswith("reply ") for answer in answers)
    assert len({answer.content for answer in answers}) == 200
    assert sum(answer.usage.retries for answer in answers) > 20


def test_waiting_for_a_slot_does_not_use_up_patience():
    with ChatServer(latency_s=0.1) as server:
        asked = endpoint(server, max_concurrency=1, timeout_s=0.25, max_retries=0)
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(lambda place: ask(asked, str(place)), range(8)))
    assert len(answers) == 8
    assert server.most_at_once == 1


def ask_in_child(asked: Endpoint, results: Any) -> None:
    results.put((os.getpid(), ask(asked).content))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_child_process_makes_a_loop_of_its_own(method):
    with ChatServer() as server:
        asked = endpoint(server, timeout_s=20)
        ask(asked)
        start = multiprocessing.get_context(method)
        results = start.Queue()
        child = start.Process(target=ask_in_child, args=(pickle.loads(pickle.dumps(asked)), results))
        child.start()
        pid, content = results.get(timeout=60)
        child.join(60)
        assert (pid, child.exitcode) == (child.pid, 0)
        assert content == "reply 1"
        assert ask(asked).content == "reply 2"


def hold_in_child(asked: Endpoint) -> None:
    for number in range(10):
        ask(asked, str(number))


def test_processes_share_the_limit_of_concurrency():
    with ChatServer(latency_s=0.02) as server:
        asked = endpoint(server, max_concurrency=2, timeout_s=20)
        start = multiprocessing.get_context("spawn")
        children = [start.Process(target=hold_in_child, args=(asked,)) for _ in range(3)]
        for child in children:
            child.start()
        for child in children:
            child.join(60)
            assert child.exitcode == 0
    assert (server.most_at_once, len(server.requests)) == (2, 30)


def test_a_dead_server_fails_soon_and_is_found_again_when_it_is_back():
    with ChatServer() as server:
        asked = endpoint(server, max_retries=5, timeout_s=1)
        ask(asked)
        server.stop()
        for _ in range(6):
            with pytest.raises(UserError):
                ask(asked)
        with pytest.raises(UserError, match=r"the server is down, as other calls find|no connection"):
            ask(asked)
        server.start(server.port)
        assert ask(asked).content == "reply 1"


def test_an_open_circuit_spares_the_server():
    with ChatServer(plan=always("503")) as server:
        asked = endpoint(server, max_retries=5, timeout_s=5)
        with ThreadPoolExecutor(30) as threads:
            failed = [threads.submit(ask, asked, str(place)) for place in range(30)]
            reasons = [str(one.exception(30)) for one in failed]
        assert all("gave no usable answer" in reason for reason in reasons)
        assert len(server.requests) < 30 * 6 / 2
        server.plan = script([])
        assert ask(asked).content


def test_the_budget_is_kept_over_threads():
    with ChatServer(latency_s=0.02, cost_usd=0.25) as server:
        asked = endpoint(server, budget_usd=1, max_concurrency=2, timeout_s=20, **PRICES)
        with ThreadPoolExecutor(8) as threads:
            calls = [threads.submit(ask, asked, str(place)) for place in range(20)]
            refused = [one for one in calls if isinstance(one.exception(30), BudgetError)]
    assert 4 <= len(server.requests) <= 5
    assert len(refused) + len(server.requests) == 20
    assert Ledger().spent_usd == 0.25 * len(server.requests)


def test_a_budget_over_a_server_that_tells_no_usage_is_an_error():
    with (
        ChatServer(reports_usage=False) as server,
        pytest.raises(UserSetupError, match=r"user.budget_usd cannot be kept"),
    ):
        ask(endpoint(server, budget_usd=1, **PRICES))


def test_a_recorded_answer_is_replayed_byte_for_byte_without_network_or_key(tmp_path):
    said = "  caf\u00e9 \u2028 \U0001f600 \x00 tab\t\n\n"
    block = {"cassette": str(tmp_path / "cassette.jsonl"), "base_url": "http://customer.invalid/v1", **PRICES}
    with ChatServer(reply=lambda request: said) as server:
        live = ask(endpoint(server, cassette=block["cassette"], **PRICES))
    close_background()
    replayed = ask(Endpoint(ApiSettings.read("tiny", block)))
    assert live.content == replayed.content == said
    assert replayed.finish_reason == live.finish_reason
    assert (replayed.usage.prompt_tokens, replayed.usage.calls, replayed.usage.replayed) == (9, 0, 1)
    assert replayed.usage.cost_usd == 0.0


def test_without_the_package_openai_a_replay_works_and_a_question_names_the_command(tmp_path, monkeypatch):
    with ChatServer() as server:
        asked = endpoint(server, cassette=str(tmp_path / "cassette.jsonl"))
        live = ask(asked)
        close_background()
        monkeypatch.setitem(sys.modules, "openai", None)
        assert ask(asked).content == live.content
        with pytest.raises(MissingDependencyError, match=r"pip install '\.\[api\]' in the repository"):
            ask(asked, "another")


def test_another_context_or_setting_is_another_request(tmp_path):
    with ChatServer() as server:
        asked = endpoint(server, cassette=str(tmp_path / "cassette.jsonl"))
        answers = [ask(asked, "a"), ask(asked, "b"), ask(asked, "a", seed=5), ask(asked, "a")]
    assert [answer.content for answer in answers] == ["reply 0", "reply 1", "reply 2", "reply 0"]


def test_what_is_not_on_the_cassette_says_so_without_key(tmp_path):
    block = {"cassette": str(tmp_path / "cassette.jsonl"), "base_url": "http://customer.invalid/v1"}
    with pytest.raises(UserSetupError, match=r"OPENAI_API_KEY is not set.*The cassette .* has no answer"):
        ask(Endpoint(ApiSettings.read("tiny", block)))


def test_equal_requests_at_once_make_one_call(tmp_path):
    with ChatServer(latency_s=0.1) as server:
        asked = endpoint(server, cassette=str(tmp_path / "cassette.jsonl"), timeout_s=20)
        with ThreadPoolExecutor(16) as threads:
            answers = list(threads.map(lambda _: ask(asked), range(16)))
    assert len(server.requests) == 1
    assert {answer.content for answer in answers} == {"reply 0"}
    assert sum(answer.usage.calls for answer in answers) == 1


def test_failures_are_not_recorded(tmp_path):
    path = tmp_path / "cassette.jsonl"
    with ChatServer(plan=script(["500", "empty"])) as server:
        asked = endpoint(server, cassette=str(path), max_retries=1)
        with pytest.raises(UserError, match=r"has no answer to this request"):
            ask(asked)
        assert path.read_text() == ""
        assert ask(asked).content == "reply 2"
    assert len(path.read_text().splitlines()) == 2


def test_no_recording_holds_the_key(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    path = tmp_path / "cassette.jsonl"
    with ChatServer(key=SECRET) as server:
        ask(endpoint(server, cassette=str(path)))
    entry = json.loads(path.read_text().splitlines()[1])
    assert set(entry["request"]) == {"context", "model", "messages"}
    assert SECRET not in path.read_text()


@pytest.mark.parametrize("models", [["tiny", "small"], None])
def test_the_check_asks_for_one_token(models):
    with ChatServer(models=models) as server:
        endpoint(server).check()
        assert [request.body["max_tokens"] for request in server.requests] == [1]


@pytest.mark.parametrize("models", [["tiny"], ["listed"], None])
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("401", r"HTTP 401 .*OPENAI_API_KEY"),
        ("403", r"HTTP 403"),
        ("402", r"no credit"),
        ("insufficient_quota", "no credit"),
    ],
)
def test_the_check_finds_a_wrong_key_or_no_credit_where_the_list_of_models_is_public(models, fault, words):
    def plan(order: int) -> str:
        server.models = None
        return fault

    with ChatServer(models=models, plan=plan) as server, pytest.raises(UserSetupError, match=words):
        endpoint(server).check()


@pytest.mark.parametrize("fault", ["400", "429", "500", "hang", "wrong_json"])
def test_the_check_believes_a_listed_model_that_does_not_answer_this_once(fault):
    with ChatServer(plan=always(fault)) as server:
        endpoint(server, timeout_s=0.1).check()
        assert server.requests


def test_a_setting_that_the_server_refuses_ends_the_run_although_the_check_had_an_answer():
    with ChatServer(plan=script([None, "400"])) as server:
        asked = endpoint(server)
        asked.check()
        with pytest.raises(UserSetupError, match=r"HTTP 400"):
            ask(asked)


def test_the_check_is_paid_from_the_budget_and_finds_one_that_cannot_be_kept():
    with ChatServer(cost_usd=0.25) as server:
        endpoint(server, budget_usd=1, **PRICES).check()
        assert Ledger().spent_usd == 0.25
        server.cost_usd, server.reports_usage = None, False
        with pytest.raises(UserSetupError, match=r"user.budget_usd cannot be kept"):
            endpoint(server, budget_usd=1, **PRICES).check()


def test_a_cassette_that_cannot_be_written_is_found_before_anything_is_asked(tmp_path):
    path = tmp_path / "cassette.jsonl"
    path.symlink_to(tmp_path / "no such folder" / "cassette.jsonl")
    with ChatServer() as server:
        asked = endpoint(server, cassette=str(path))
        for use in (asked.check, lambda: ask(asked)):
            with pytest.raises(UserSetupError, match=r"user.cassette .* cannot be written"):
                use()
        assert server.connections == 0


def test_the_check_believes_a_server_that_serves_more_than_it_lists():
    def plan(order: int) -> None:
        server.models = ["listed", "tiny"]

    with ChatServer(models=["listed"], plan=plan) as server:
        endpoint(server).check()
        assert len(server.requests) == 1


def test_the_check_believes_a_key_that_may_not_list_models():
    with ChatServer(hides_models=True) as server:
        endpoint(server).check()
        assert len(server.requests) == 1


@pytest.mark.parametrize("models", [["tiny-1"], None])
def test_the_check_finds_an_unknown_model(models):
    with (
        ChatServer(models=models, plan=always("404")) as server,
        pytest.raises(UserSetupError, match=r"user_model: .* 'tiny'"),
    ):
        endpoint(server).check()


def test_the_check_finds_a_wrong_key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    with (
        ChatServer(key="another") as server,
        pytest.raises(UserSetupError, match=r"HTTP 401 .*OPENAI_API_KEY") as error,
    ):
        endpoint(server).check()
    assert SECRET not in str(error.value)


def test_the_check_finds_a_server_that_is_not_there():
    with ChatServer() as server:
        asked = endpoint(server)
    with pytest.raises(UserSetupError, match=r"user.base_url: .* does not answer .*3 attempts.*serve-user"):
        asked.check()


def test_the_check_passes_over_a_fault_that_passes():
    with ChatServer(models=None, plan=script(["503", "closed"])) as server:
        endpoint(server).check()
        assert len(server.requests) == 3


def test_where_all_calls_time_out_a_line_says_so_and_what_helps(caplog):
    """Replies that never end: without the line an evaluation would stand still and say nothing."""
    with ChatServer(latency_s=5) as server, caplog.at_level(logging.WARNING, "tau_retail_env.users.llm.call"):
        asked = endpoint(server, timeout_s=0.2, max_retries=1)
        with ThreadPoolExecutor(30) as pool:
            calls = [pool.submit(ask, asked, f"task/{number}/0") for number in range(30)]
        assert all(isinstance(call.exception(), UserError) for call in calls)
        address = server.base_url
    first = caplog.messages[0]
    assert first.startswith(f"The server {address} failed 20 times in a row or more, the last: no answer within")
    assert "max_tokens bounds a reply" in first
    assert len(caplog.messages) == 1
    assert "Mei Kovacs" not in caplog.text


def test_the_check_finds_that_a_key_is_missing():
    with pytest.raises(UserSetupError, match=r"OPENAI_API_KEY is not set"):
        Endpoint(ApiSettings.read("m", {})).check()


def test_the_check_asks_nothing_where_the_cassette_holds_answers(tmp_path):
    path = str(tmp_path / "cassette.jsonl")
    with ChatServer() as server:
        ask(endpoint(server, cassette=path))
    Endpoint(ApiSettings.read("tiny", {"cassette": path})).check()


def test_making_an_endpoint_asks_nothing():
    with ChatServer() as server:
        endpoint(server)
        assert server.connections == 0


def test_closing_calls_off_what_is_under_way_and_frees_its_slot():
    ended = threading.Event()

    def hang(asked: Endpoint) -> None:
        try:
            ask(asked)
        except CancelledError:
            ended.set()

    with ChatServer(plan=script(["hang"])) as server:
        asked = endpoint(server, max_concurrency=1, timeout_s=30)
        threading.Thread(target=hang, args=(asked,), daemon=True).start()
        while not server.requests:
            ended.wait(0.01)
        close_background()
        assert ended.wait(10)
        assert ask(asked).content == "reply 1"


def test_a_process_ends_although_a_call_is_under_way():
    program = """
        import sys, threading
        from tau_retail_env.users.llm.endpoint import Endpoint
        from tau_retail_env.users.llm.settings import ApiSettings

        asked = Endpoint(ApiSettings.read("tiny", {"base_url": sys.argv[1]}))
        ask = lambda: asked.complete([{"role": "user", "content": "hi"}], context="c")
        ask()
        threading.Thread(target=ask, daemon=True).start()
        sys.stdin.read(1)
    """
    with ChatServer(plan=script([None, "hang"])) as server:
        command = [sys.executable, "-c", textwrap.dedent(program), server.base_url]
        child = subprocess.Popen(command, stdin=subprocess.PIPE)
        try:
            while len(server.requests) < 2 and child.poll() is None:
                server.closing.wait(0.01)
            child.communicate(b"x", timeout=20)
            assert child.returncode == 0
        finally:
            child.kill()


def test_the_official_client_can_stream_from_the_server():
    import openai

    def said(request: Request) -> str:
        return "one two  three"

    with ChatServer(reply=said) as server:
        client = openai.OpenAI(base_url=server.base_url, api_key="none", max_retries=0)
        options = {"include_usage": True}
        stream = client.chat.completions.create(model="tiny", messages=MESSAGES, stream=True, stream_options=options)
        chunks = list(stream)
    deltas = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(deltas) == "one two  three"
    assert len(deltas) > 3
    assert chunks[-1].usage.completion_tokens == 3
