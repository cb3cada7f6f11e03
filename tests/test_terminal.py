"""A person as the agent or the customer: what a typed line means, whole conversations from a pipe, the tab key."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import threading

import pytest

from tau_retail_env.catalogue import task_by_id
from tau_retail_env.env import TauRetailEnv
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.terminal import AGENT_COMMANDS, completions, play, play_customer, read_call

SCHEMAS = {
    "look": {
        "properties": {
            "zip": {"type": "string"},
            "count": {"type": "integer"},
            "ids": {"type": "array", "items": {"type": "string"}},
        }
    },
    "list_all": {"properties": {}},
}


@pytest.mark.parametrize(
    ("line", "arguments"),
    [
        ("look zip=02139", {"zip": "02139"}),
        ("look  zip='1 2'   count=3", {"zip": "1 2", "count": 3}),
        ("look count=many", {"count": "many"}),
        ("look ids=12,34", {"ids": ["12", "34"]}),
        ('look ids=["12","34"]', {"ids": ["12", "34"]}),
        ("look ids=", {"ids": []}),
        ("look zip=#W1 other=a=b", {"zip": "#W1", "other": "a=b"}),
        ('look {"zip": 2139, "ids": []}', {"zip": 2139, "ids": []}),
        ("list_all", {}),
    ],
)
def test_a_typed_call_takes_the_types_of_the_tool(line, arguments):
    call = read_call(line, SCHEMAS)
    assert call.name == line.split()[0]
    assert call.arguments == arguments


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("lok zip=1", "Did you mean 'look'"),
        ("look zip", "key=value"),
        ("look zip='1", "quotes"),
        ("look {zip: 1}", "JSON"),
        ('look {"zip": 1} more', "JSON"),
        ("", "tool or command"),
    ],
)
def test_what_cannot_be_read_is_explained(line, named):
    with pytest.raises(InvalidValueError, match=named):
        read_call(line, SCHEMAS)


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


def test_the_end_of_the_input_is_a_way_to_leave():
    reward, shown = conversation("tau2/17", "Hello?")
    assert reward is None
    assert "not scored" in shown


def served(task_id: str, *lines: str) -> tuple[float | None, str]:
    out = io.StringIO()
    reward = play_customer([task_by_id(task_id)], lines=io.StringIO("".join(f"{line}\n" for line in lines)), out=out)
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


COMPLETED = {
    "look": {
        "properties": {
            "order_id": {"type": "string"},
            "reason": {"enum": ["no longer needed", "by mistake"]},
            "item_ids": {"type": "array", "items": {"type": "string"}},
        }
    },
    "list_all": {"properties": {}},
}
SHOWN = "Order #W12 and #W345, #W12 again; items 1111111111 and 1122222222"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("/l", ["/look ", "/list_all "]),
        ("/li", ["/list_all "]),
        ("/ta", ["/task "]),
        ("", []),
        ("look", []),
        ("/nothing ", []),
        ("/list_all ", []),
        ("/look ", ["/look order_id=", "/look reason=", "/look item_ids="]),
        ("/look r", ["/look reason="]),
        ("/look order_id=#W12 ", ["/look order_id=#W12 reason=", "/look order_id=#W12 item_ids="]),
        ("/look order_id=", ["/look order_id=#W12 ", "/look order_id=#W345 "]),
        ("/look order_id=#W3", ["/look order_id=#W345 "]),
        ("/look reason=", ["/look reason='no longer needed' ", "/look reason='by mistake' "]),
        ("/look reason='no lon", ["/look reason='no longer needed' "]),
        ("/look reason='no longer needed' o", ["/look reason='no longer needed' order_id="]),
        ("/look item_ids=11", ["/look item_ids=1111111111", "/look item_ids=1122222222"]),
        ("/look item_ids=1111111111,112", ["/look item_ids=1111111111,1122222222"]),
        ('/look {"order_id": ', []),
        ("Please look ", []),
    ],
)
def test_the_tab_key_completes_tools_arguments_and_values(line, expected):
    assert completions(line, COMPLETED, AGENT_COMMANDS, SHOWN) == expected


def test_what_the_tab_key_completes_can_be_read():
    (line,) = completions("/look reason='no", COMPLETED)
    assert read_call(line.removeprefix("/"), COMPLETED).arguments == {"reason": "no longer needed"}


def test_the_tab_key_works_on_a_terminal(repository):
    """A real terminal: what is typed comes back completed, with an order id that the customer has named."""
    pytest.importorskip("readline")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "tau_retail_env.cli", "play", "--task", "tau2/17", "--seed", "0"],
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
