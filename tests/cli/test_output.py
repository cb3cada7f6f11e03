"""Nothing that a customer, a tool or a server says is obeyed by the terminal."""

from __future__ import annotations

import io

import pytest

from tau_retail_env.cli import main
from tau_retail_env.cli.conversation.screen import Screen
from tau_retail_env.cli.output import complain, printable, say

HOSTILE = "hi \x1b]0;owned\x07 \x1b[2J\x9b31m \rbye\u202eeyb"
HARMLESS = r"hi \x1b]0;owned\x07 \x1b[2J\x9b31m \rbye\u202eeyb"


def test_escape_and_control_characters_are_written_out():
    assert printable(HOSTILE) == HARMLESS


@pytest.mark.parametrize("text", ["Grüße, 東京, τ², 😀", "two\nlines\tand a tab"])
def test_ordinary_text_stays_as_it_is(text):
    assert printable(text) == text


def test_both_streams_show_them_escaped(capsys):
    say(HOSTILE)
    complain(HOSTILE)
    assert capsys.readouterr() == (f"{HARMLESS}\n", f"{HARMLESS}\n")


@pytest.mark.parametrize("role", ["user", "tool", "assistant"])
def test_a_conversation_shows_them_escaped(role):
    out = io.StringIO()
    Screen(io.StringIO(), out).show([{"role": role, "content": HOSTILE}], agent="agent")
    assert HARMLESS in out.getvalue()
    assert "\x1b" not in out.getvalue()


@pytest.mark.parametrize("text", [HOSTILE, '{"a": "\x9b2J", "b": "\\u001b[2J"}'])
def test_a_tools_whole_result_shows_them_escaped(text):
    out = io.StringIO()
    Screen(io.StringIO(), out).show_json(text)
    assert not {"\x1b", "\x9b", "\x07"} & set(out.getvalue())


def test_an_error_shows_them_escaped(capsys):
    assert main(["tasks", "tau2/\x1b[2J"]) == 2
    assert "\x1b" not in capsys.readouterr().err
