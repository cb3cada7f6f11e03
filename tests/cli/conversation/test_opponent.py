"""A person as the customer of any agent: a name, a checkpoint, a server, a function."""

from __future__ import annotations

import io
import sys

import pytest

from tau_retail_env.cli import main
from tau_retail_env.models.shipped import small_checkpoint
from tests.users.llm.server import ChatServer

GENERATED = ["--source", "generated", "--task", "generated/test/3"]


@pytest.fixture
def says(monkeypatch):
    """What the person types."""
    return lambda *lines: monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))


def test_a_checkpoint_answers_its_customer(says, capsys):
    pytest.importorskip("torch")
    says("Hello, I want to cancel my order.", "My email is a.b@example.com", "/quit")
    assert main(["play", "--agent", str(small_checkpoint()), *GENERATED]) == 0
    out = capsys.readouterr().out
    assert f"You are the customer of {small_checkpoint()}" in out
    assert out.count("you> ") == 3 and out.count("\nagent") >= 3  # the greeting, then what the model says or calls


def test_the_small_model_can_be_watched_and_earns_what_its_evaluation_says(capsys):
    pytest.importorskip("torch")
    assert main(["play", "--as", "nobody", "--agent", "small", *GENERATED, "--seed", "1"]) == 0
    watched = capsys.readouterr().out
    assert "plays." in watched and "The conversation is over" in watched
    assert main(["play", "--as", "nobody", "--agent", "small", *GENERATED, "--seed", "1"]) == 0
    assert capsys.readouterr().out == watched


def test_a_server_answers_its_customer(says, capsys):
    pytest.importorskip("openai")
    with ChatServer(reply=lambda request: f"Yes? You wrote {request.messages[-1]['content']!r}.") as server:
        says("Hello there.", "/quit")
        assert main(["play", "--agent", server.base_url, "--model", "tiny", *GENERATED]) == 0
        assert "agent> Yes? You wrote 'Hello there.'." in capsys.readouterr().out
        assert server.requests[0].messages[0]["role"] == "system"


def test_a_function_of_ones_own_answers(says, capsys, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(
        "class Polite:\n    def act(self, observation, info):\n        return 'Gladly.'\n\nmake = Polite\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    says("Hello.", "/quit")
    assert main(["play", "--agent", "mine:make", *GENERATED]) == 0
    assert "agent> Gladly." in capsys.readouterr().out


def test_a_function_of_ones_own_that_answers_nothing_is_told_so(capsys, tmp_path, monkeypatch):
    (tmp_path / "mute.py").write_text(
        "class Mute:\n    def act(self, observation, info):\n        pass\n\nmake = Mute\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert main(["play", "--as", "nobody", "--agent", "mute:make", *GENERATED]) == 2
    assert "The agent answered NoneType, expected a text or an AgentMessage; fix its act()" in capsys.readouterr().err


def test_an_error_text_for_the_agent_is_shown_as_such(says, capsys, tmp_path, monkeypatch):
    (tmp_path / "broken.py").write_text(
        "class Broken:\n    def act(self, observation, info):\n        return '<tool_call>{'\n\nmake = Broken\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    says("Hello.")
    assert main(["play", "--agent", "broken:make", *GENERATED]) == 0
    assert "the agent reads: Error: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--agent", "nobody-knows"], "Unknown agent 'nobody-knows'"),
        (["--agent", "http://127.0.0.1:9/v1"], "name the model that is to be asked there"),
        (["--agent", "oracle", "--model", "m"], "--model m: oracle is no server's address"),
        (["--as", "agent", "--agent", "small"], "--as agent makes you the agent"),
        (["--agent", "oracle", "--user-strategy", "llm"], "--as customer makes you the customer"),
    ],
)
def test_what_does_not_go_together_is_told(words, named, capsys):
    assert main(["play", *words, *GENERATED]) == 2
    assert named in capsys.readouterr().err
