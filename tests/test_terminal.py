"""A person as the agent: what a typed line means, and whole conversations from a pipe."""

from __future__ import annotations

import io

import pytest

from tau_retail_env.catalogue import task_by_id
from tau_retail_env.env import TauRetailEnv
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.terminal import play, read_call

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
