"""A person as the agent or the customer: whole conversations from a pipe, and the tab key on a terminal."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import threading

import pytest

from tau_retail_env.cli.catalogue import task_by_id
from tau_retail_env.cli.conversation import play, play_user, watch
from tau_retail_env.cli.conversation.play import AGENT_HELP, CUSTOMER_HELP
from tau_retail_env.env import TauRetailEnv


def conversation(task_id: str, *lines: str) -> tuple[float | None, str]:
    task = task_by_id(task_id)
    out = io.StringIO()
    env = TauRetailEnv(source=task.source, tasks=[task])
    reward = play(env, seed=0, lines=io.StringIO("".join(f"{line}\n" for line in lines)), out=out)
    return reward, out.getvalue()


def test_a_person_who_does_what_is_asked_earns_the_reward():
    reward, shown = conversation(
        "tau2/17",
        "May I have your name and zip code?",
        "/find_user_id_by_name_zip first_name=Fatima last_name=Johnson zip=78712",
        "/modify_pending_order_address order_id=#W8665881 address1='123 Elm Street' address2='Suite 641'"
        " city=Austin state=TX country=USA zip=78712",
        *["Your order #W8665881 will now go to Suite 641. Is there anything else?"] * 4,
    )
    assert reward == 1.0
    assert "fatima_johnson_7581" in shown
    assert "Reward: 1.0" in shown
    assert "###STOP###" not in shown


def test_a_person_who_does_nothing_earns_nothing_and_reads_why():
    reward, shown = conversation("tau2/17", *["I would rather talk about the weather."] * 30)
    assert reward == 0.0
    assert "missing writes: 1" in shown
    assert "tau-retail tasks tau2/17" in shown


def test_a_mistyped_line_costs_no_turn():
    reward, shown = conversation("tau2/17", "/find_user", "/tools", "/help", "/task", "/policy", "", "/quit")
    assert reward is None
    assert "Did you mean" in shown
    assert "/get_order_details order_id=…" in shown
    assert "key=value" in shown
    assert "modify_pending_order_address(order_id=" in shown
    assert "Retail agent policy" in shown
    assert "not scored" in shown


@pytest.mark.parametrize(
    "call",
    [
        "/find_user_id_by_name_zip first_name=Fatima last_name=Johnson zip=78712",
        "find_user_id_by_name_zip first_name=Fatima last_name=Johnson zip=78712",
        'find_user_id_by_name_zip {"first_name": "Fatima", "last_name": "Johnson", "zip": "78712"}',
        'find_user_id_by_name_zip(first_name="Fatima", last_name="Johnson", zip="78712")',
    ],
)
def test_a_line_that_begins_with_a_tools_name_calls_it_with_or_without_its_slash(call):
    _, shown = conversation("tau2/17", "Who are you?", call)
    assert "fatima_johnson_7581" in shown


def test_a_call_that_cannot_be_read_and_a_commands_bare_word_are_not_said_to_the_customer():
    reward, shown = conversation("tau2/17", "get_order_details #W8665881", "help", "quit", "Hello?")
    assert reward is None
    assert "expected key=value" in shown
    assert "call a tool; lists as a,b" in shown
    assert "Hello?" not in shown


def test_the_end_of_the_input_is_a_way_to_leave():
    reward, shown = conversation("tau2/17", "Hello?")
    assert reward is None
    assert "not scored" in shown


def test_the_oracle_can_be_watched():
    out = io.StringIO()
    env = TauRetailEnv(tasks=[task_by_id("tau2/17")])
    assert watch(env, seed=0, out=out) == 1.0
    shown = out.getvalue()
    assert shown.index("agent> Hi! How can I help you today?") < shown.index("customer> ")
    assert 'agent calls modify_pending_order_address(order_id="#W8665881"' in shown
    assert "###STOP###" not in shown
    assert "Reward: 1.0" in shown


def served(task_id: str, *lines: str) -> tuple[float | None, str]:
    out = io.StringIO()
    reward = play_user([task_by_id(task_id)], lines=io.StringIO("".join(f"{line}\n" for line in lines)), out=out)
    return reward, out.getvalue()


def test_a_person_is_served_by_the_oracle():
    reward, shown = served(
        "tau2/17",
        "Hi, I am Fatima Johnson, zip 78712.",
        "Please send #W8665881 to 123 Elm Street, Suite 641, Austin, TX, USA, 78712",
        "yes",
        "/stop Thank you",
    )
    assert reward == 1.0
    assert "You want to change #W8665881 to be delivered to Suite 641 instead." in shown
    assert shown.index("agent> Hi! How can I help you today?") < shown.index("you> Hi, I am Fatima")
    assert 'agent calls find_user_id_by_name_zip(first_name="Fatima", last_name="Johnson", zip="78712")' in shown
    assert "characters)" in shown
    assert "Gold actions" not in shown
    assert "Reward: 1.0" in shown


def test_a_customer_who_leaves_too_early_costs_the_agent_the_reward():
    reward, shown = served("tau2/17", "Hello", "/stop")
    assert reward == 0.0
    assert "missing writes: 1" in shown


@pytest.mark.parametrize("token", ["###STOP###", "I am done ###TRANSFER###"])
def test_a_stop_token_is_a_way_to_end_but_not_to_begin(token):
    reward, shown = served("tau2/17", token, "/stop", "Hello", token)
    assert reward == 0.0
    assert shown.count("Nothing has been said yet") == 2


def test_a_customer_may_look_before_speaking_and_may_leave():
    reward, shown = served("tau2/17", "/task", "/help", "/stpo", "Hello", "/quit")
    assert reward is None
    assert 'modify_pending_order_address(order_id="#W8665881"' in shown
    assert "/stop [words]" in shown
    assert "Did you mean '/stop'?" in shown
    assert "not scored" in shown


def test_the_end_of_the_input_is_a_way_to_leave_for_a_customer():
    assert served("tau2/17")[0] is None
    assert served("tau2/17", "Hello?")[0] is None


def test_a_customer_whom_nobody_can_please_reaches_upstreams_limit():
    reward, shown = served("tau2/17", *["Lovely weather."] * 100)
    assert reward == 0.0
    assert "Reward: 0.0" in shown


def test_the_same_lines_give_the_same_conversation():
    lines = ("Hi, Fatima Johnson, 78712", "order #W8665881", "no", "/stop")
    assert served("tau2/17", *lines) == served("tau2/17", *lines)


def test_a_person_is_the_customer_of_v1_too(tau_bench):
    reward, shown = served("tau_bench/test/12", "Hello", "/stop")
    assert reward == 1.0
    assert "You just got into gaming" in " ".join(shown.split())
    assert "agent> Hi!" not in shown


def test_the_tab_key_works_on_a_terminal(repository):
    """A real terminal: what is typed comes back completed, with an order id that the customer has named."""
    pytest.importorskip("readline")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "tau_retail_env", "play", "--task", "tau2/17", "--seed", "0"],
        cwd=repository,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"TERM": "dumb", "INPUTRC": os.devnull},
    )
    os.close(theirs)
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    shown = ""

    def read_until(words: str) -> None:
        nonlocal shown
        while words not in shown:
            try:
                shown += os.read(ours, 65536).decode(errors="replace")
            except OSError:
                pytest.fail(f"the program ended without {words!r}: {shown}")

    try:
        read_until("#W8665881")
        read_until("you> ")
        os.write(ours, b"/get_o\to\t#\t")
        read_until("/get_order_details order_id=#W8665881 ")
        os.write(ours, b"\n")
        read_until('"status": "pending"')
        os.write(ours, b"/q\t\n")
        read_until("not scored")
        assert process.wait() == 0
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
        os.close(ours)


@pytest.mark.parametrize("text", [AGENT_HELP, CUSTOMER_HELP])
def test_the_help_of_a_conversation_fits_80_columns(text):
    assert max(map(len, text.splitlines())) <= 80
