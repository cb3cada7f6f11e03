"""A key in the path of a server's address: it reaches the server, and no log, error, file or other host."""

import logging
import os
import traceback
from urllib.parse import unquote

import pytest

pytest.importorskip("openai", reason="customers behind an API need: pip install '.[api]'")

from tau_retail_env.agents.server import AgentServer, AgentServerError, ServerSettings
from tau_retail_env.errors import InvalidValueError, UserSetupError
from tau_retail_env.users.base import UserError
from tau_retail_env.users.llm.address import plain_address, secrets_of, variables_of, whole, with_hidden_keys
from tau_retail_env.users.llm.endpoint import Endpoint
from tau_retail_env.users.llm.settings import ApiSettings
from tests.users.llm.server import FINAL, RETRYABLE, ChatServer, always

KEY = "gk7Hq2mZx9RtLw4Vb8Nc"
SHORT = "short-pass"
MESSAGES = [{"role": "user", "content": "Hi"}]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    """Variables that a test sets are gone after it."""
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.setenv("OPENAI_API_KEY", "sk-the-other-key-of-all")


def settings(url, **more):
    return ApiSettings.read("tiny", {"base_url": url, "max_retries": 0, "timeout_s": 5, **more})


def test_a_key_in_the_path_becomes_a_variable_and_the_request_has_it():
    url = plain_address(f"https://gateway.example/{KEY}/v1/")
    assert url == "https://gateway.example/$TAU_RETAIL_URL_KEY_GATEWAY_EXAMPLE/v1"
    assert whole(url) == f"https://gateway.example/{KEY}/v1"
    assert plain_address(url) == url
    assert plain_address(f"https://gateway.example/{KEY}/v1") == url, "the same key has the same variable"


def test_every_host_and_every_key_has_a_variable_of_its_own():
    first, second, elsewhere = (plain_address(f"https://{rest}/v1") for rest in (f"a/{KEY}", f"a/{KEY}x", f"b/{KEY}x"))
    assert [variables_of(url) for url in (first, second, elsewhere)] == [
        ["TAU_RETAIL_URL_KEY_A"],
        ["TAU_RETAIL_URL_KEY_A_2"],
        ["TAU_RETAIL_URL_KEY_B"],
    ]
    assert secrets_of(second) == secrets_of(elsewhere) == [f"{KEY}x"]


def test_a_variable_that_is_named_stays_and_must_be_set(monkeypatch):
    url = plain_address("https://gateway.example/$MY_TOKEN/v1")
    assert url == "https://gateway.example/$MY_TOKEN/v1"
    with pytest.raises(UserSetupError, match=r"gateway.example.*MY_TOKEN, which is not set: export MY_TOKEN=…$"):
        whole(url)
    monkeypatch.setenv("MY_TOKEN", "fäke")
    with pytest.raises(UserSetupError, match=r"MY_TOKEN holds characters") as error:
        whole(url)
    assert "fäke" not in str(error.value)


@pytest.mark.parametrize(
    "held", ["pa{ss}word-12345", "half?query=12345678", "half#fragment1234", "ab|cd^12345678", "%zz1234567"]
)
def test_a_variable_holds_what_is_sent_as_it_stands(held, monkeypatch):
    """All else would go to another path, or be in a client's log in a form that nothing hides."""
    monkeypatch.setenv("MY_TOKEN", held)
    with pytest.raises(UserSetupError, match=r"MY_TOKEN holds characters .* percent-encoded") as error:
        whole("https://gateway.example/$MY_TOKEN/v1")
    assert held not in str(error.value)


@pytest.mark.parametrize(
    ("written", "sent"),
    [(f"{{{KEY}}}", f"%7B{KEY}%7D"), (f"{KEY}%2Fab", f"{KEY}%2Fab"), (f"{KEY}%zz", f"{KEY}%25zz")],
)
def test_a_key_that_is_written_out_is_held_as_it_is_sent_and_hidden_as_it_is_read_too(written, sent):
    url = plain_address(f"https://gateway.example/{written}/v1")
    assert whole(url) == f"https://gateway.example/{sent}/v1"
    assert set(secrets_of(url)) == {sent, unquote(sent)}


@pytest.mark.parametrize("key", ["0UjmEARMp_-dVm71wYZCHw", "hf_abcdefghij", "sk-abcdefghij"])
def test_a_key_with_dashes_among_its_letters_is_one(key):
    assert key not in plain_address(f"https://gateway.example/{key}/v1")


@pytest.mark.parametrize(
    "path",
    [
        "hf-inference/models/Qwen/Qwen2.5-7B-Instruct/v1",
        "openai/deployments/gpt-4o-mini-2024-07-18",
        "v1beta/models/gemini-2.5-pro",
        "Qwen3-235B-A22B-GPTQ-Int4-W4A16-g128/v1",
        "vllm-7d9f8b6c5d-x2k4z/v1",
        "internationalization/v1",
    ],
)
def test_what_services_and_models_are_called_stays(path):
    assert plain_address(f"https://[::1]:8000/{path}") == f"https://[::1]:8000/{path}"


def test_an_address_of_another_process_says_that_it_is_to_be_given_again():
    with pytest.raises(UserSetupError, match=r"gateway.example.* or give the address again"):
        whole("https://gateway.example/$TAU_RETAIL_URL_KEY_GATEWAY_EXAMPLE/v1")


@pytest.mark.parametrize(
    "url",
    [
        f"https://user:{KEY}@gateway.example/v1",
        f"https://gateway.example/v1?api-key={KEY}",
        f"https://gateway.example/v1#{KEY}",
        f"ftp://gateway.example/{KEY}/v1",
        f"gateway.example/{KEY}/v1",
        f"https://user:{KEY}@gateway.example:port/v1",
        f"https://gateway.example:{KEY}/v1",
        f"https://gateway.example/{KEY}/v1/chat/completions",
    ],
)
def test_an_address_that_is_refused_is_told_without_its_secret(url):
    with pytest.raises(InvalidValueError, match=r"user.base_url: (holds|found .*gateway.example)") as error:
        settings(url)
    assert KEY not in str(error.value)


def test_addresses_are_found_at_any_depth_of_a_configuration():
    url = f"http://host/{KEY}/v1"
    values = {"user": {"base_url": url, "cassette": None}, "stages": {"a": {"set": {"user.base_url": url}}}, "b": [1]}
    shown = with_hidden_keys(values)
    hidden = "http://host/$TAU_RETAIL_URL_KEY_HOST/v1"
    assert shown == {
        "user": {"base_url": hidden, "cassette": None},
        "stages": {"a": {"set": {"user.base_url": hidden}}},
        "b": [1],
    }
    assert with_hidden_keys(shown) == shown
    assert with_hidden_keys({"base_url": None, "a": {"base_url": 3}}) == {"base_url": None, "a": {"base_url": 3}}


def addresses(server, monkeypatch):
    """The server's address with its key written out, and with a variable for it."""
    monkeypatch.setenv("MY_TOKEN", server.under.rpartition("/")[2])
    return server.base_url, server.base_url.replace(server.under, "/gateway/$MY_TOKEN")


@pytest.mark.parametrize("key", [KEY, SHORT])
def test_a_gateway_that_takes_its_key_in_the_path_answers_and_no_client_logs_the_key(key, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    with ChatServer(under=f"/gateway/{key}") as server:
        written, named = addresses(server, monkeypatch)
        asked = settings(named if key == SHORT else written)
        Endpoint(asked).check()
        assert Endpoint(asked).complete(MESSAGES, context="a").content == "reply 1"
        agent = AgentServer(ServerSettings(base_url=named, model="tiny", max_retries=0))
        agent.check()
        assert agent.reply(MESSAGES, [], 0)[0]["content"] == "reply 2"
        agent.close()
    assert "HTTP Request: POST http://127.0.0.1" in caplog.text
    assert key not in caplog.text + repr(asked) + repr(agent.settings)


@pytest.mark.parametrize("key", [KEY, SHORT])
@pytest.mark.parametrize("fault", (*RETRYABLE, *FINAL, "400_path", "500_path", "redirect", "refused"))
def test_a_key_in_the_path_is_in_no_error(fault, key, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr("tau_retail_env.users.llm.call.FAILURES_TO_OPEN", 1)
    with ChatServer(under=f"/gateway/{key}", plan=always(fault), retry_after_s=0) as server:
        written, named = addresses(server, monkeypatch)
        url = named if key == SHORT else written
        agent = AgentServer(ServerSettings(base_url=url, model="tiny", max_retries=0, timeout_s=0.3))
        if fault == "refused":
            server.stop()
        errors = []
        for ask in (
            Endpoint(settings(url, timeout_s=0.3)).check,
            lambda: Endpoint(settings(url, timeout_s=0.3)).complete(MESSAGES, context="a"),
            agent.check,
            lambda: agent.reply(MESSAGES, [], 0),
        ):
            try:
                ask()
            except (UserError, UserSetupError, AgentServerError) as error:
                errors.append("".join(traceback.format_exception(error)))
        agent.close()
    assert errors, "nobody was answered"
    assert all(f"127.0.0.1:{server.port}" in one for one in errors), "the host is named"
    assert key not in "".join(errors) + caplog.text


@pytest.mark.parametrize("key", [KEY, SHORT])
def test_an_answer_that_holds_the_key_of_the_path_is_none(key, monkeypatch):
    with ChatServer(under=f"/gateway/{key}", reply=lambda request: f"I am at /gateway/{key}/v1") as server:
        _, named = addresses(server, monkeypatch)
        with pytest.raises(UserError, match="an answer that holds the key"):
            Endpoint(settings(named)).complete(MESSAGES, context="a")
        with pytest.raises(AgentServerError, match="with the key in it"):
            AgentServer(ServerSettings(base_url=named, model="tiny")).reply(MESSAGES, [], 0)


def test_a_key_that_is_exported_anew_counts_from_the_next_request_on(monkeypatch):
    with ChatServer(under=f"/{KEY}") as server:
        asked = Endpoint(settings(server.base_url.replace(KEY, "$MY_TOKEN"), api_key_env="NONE"))
        monkeypatch.setenv("MY_TOKEN", "another")
        with pytest.raises(UserSetupError, match="HTTP 404"):
            asked.complete(MESSAGES, context="a")
        monkeypatch.setenv("MY_TOKEN", KEY)
        assert asked.complete(MESSAGES, context="a").content == "reply 0"
