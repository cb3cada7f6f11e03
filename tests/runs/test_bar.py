"""What is said of long work where no terminal shows a bar."""

import io

import pytest

from tau_retail_env.runs import bar
from tau_retail_env.runs.bar import Bar


@pytest.fixture
def clock(monkeypatch):
    """Seconds that have passed, in a list of one."""
    seconds = [0.0]
    monkeypatch.setattr(bar.time, "monotonic", lambda: seconds[0])
    return seconds


def test_without_a_terminal_a_line_says_now_and_then_how_far_it_is(clock, capsys):
    with Bar(unit="episode", desc="tau2", total=400, initial=100) as shown:
        shown.set_postfix_str("pass^1 50.0")
        for clock[0] in (10.0, 20.0, 31.0, 40.0, 50.0):
            shown.update(10)
    assert capsys.readouterr().err == (
        "tau2: 130 of 400 episodes after 31 s, about 5 min left, pass^1 50.0\n"  # 30 of them in those 31 s
    )


def test_where_only_time_has_passed_the_line_names_no_end(clock, capsys):
    with Bar(unit="turn") as shown:
        clock[0] = 90.0
        shown.update(0)
    assert capsys.readouterr().err == "0 turns after 2 min\n"


def test_in_a_terminal_it_is_a_bar_and_no_lines(clock):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    with Bar(unit="episode", desc="tau2", total=4, file=screen) as shown:
        clock[0] = 90.0
        shown.update(4)
    assert "tau2: 100%" in screen.getvalue() and "after" not in screen.getvalue()


def test_a_reader_that_is_gone_ends_nothing(clock, monkeypatch):
    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    monkeypatch.setattr(bar.sys, "stderr", Gone())
    with Bar(unit="episode") as shown:
        clock[0] = 90.0
        shown.update(2)
    assert shown.n == 2
