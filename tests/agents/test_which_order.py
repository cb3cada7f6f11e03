"""Which order is meant, where it is not named by its number: a verdict for each, true to what was read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.agents.reasoning import Reasoner
from tau_retail_env.agents.which_order import dearest, which
from tau_retail_env.env import TauRetailEnv
from tau_retail_env.messages import ResetInfo, StepInfo
from tau_retail_env.sources.generated import SERIES4, SERIES5, SERIES6
from tau_retail_env.tasks import WRITE_TOOLS
from tau_retail_env.tasks.task import Action

WHICH = re.compile(r"Which: ([^\[]*?)\. (?:(\$[\d.]+\d) of ([^\[]*)\. )?(\[#W.*?(?:yes|no))\. Meant: (#W[^.]*)\.")
VERDICT = re.compile(r"\[(#W\d+)\] (?:([^;\[]*), )?(yes|no)(?=[;.])")


def order(order_id: str, status: str, amount: float, city: str, state: str, *names: str) -> dict[str, Any]:
    """An order as the tools show it, its items one after the other a little dearer."""
    rows = [
        {"name": name, "item_id": f"{order_id[2:]}{place}", "options": {"color": "red"}, "price": 100.0 + place}
        for place, name in enumerate(names)
    ]
    paid = [{"payment_method_id": "paypal_1" if status == "pending" else "gift_card_2", "amount": amount}]
    address = {"city": city, "state": state}
    return {"order_id": order_id, "status": status, "items": rows, "payment_history": paid, "address": address}


ONE = order("#W1", "cancelled", 1232.97, "Chicago", "IL", "Smart Watch", "Backpack", "Laptop")
TWO = order("#W2", "delivered", 3001.64, "Houston", "TX", "Smart Watch", "Tea Kettle")
THREE = order("#W3", "pending", 2000.0, "Dallas", "TX", "Perfume")
METHODS = {"paypal_1": {"source": "paypal"}, "gift_card_2": {"source": "gift_card"}}


def agent_of(said: str, *orders: dict[str, Any]) -> OracleAgent:
    """An agent that has read some orders and heard some words."""
    profile = {"orders": [each["order_id"] for each in orders], "payment_methods": METHODS}
    return cast(OracleAgent, SimpleNamespace(matter=said, orders=lambda: list(orders), profile=lambda: profile))


@pytest.mark.parametrize(
    ("said", "meant", "told"),
    [
        ("Cancel the one with two things.", TWO, "Which: 2 things. [#W1] 3, no; [#W2] 2, yes."),
        (
            "Is the order that cost me least here?",
            ONE,
            "Which: smallest sum. $1232.97 of $1232.97, $3001.64. [#W1] $1232.97, yes; [#W2] $3001.64, no.",
        ),
        ("What became of the cancelled order?", ONE, "Which: cancelled. [#W1] cancelled, yes; [#W2] delivered, no."),
        ("Where is the order that goes to Illinois?", ONE, "Which: to Illinois. [#W1] IL, yes; [#W2] TX, no."),
        ("Where is the one to Houston?", TWO, "Which: to Houston. [#W1] Chicago, no; [#W2] Houston, yes."),
        ("Return my very first order.", ONE, "Which: first placed. [#W1] 1 of 2, yes; [#W2] 2 of 2, no."),
        ("Cancel my order with the tea kettle.", TWO, "Which: Tea Kettle. [#W1] no; [#W2] Tea Kettle, yes."),
        (
            "Return the smart watch that has arrived.",
            TWO,
            "Which: Smart Watch, delivered. [#W1] Smart Watch, cancelled, no; [#W2] Smart Watch, delivered, yes.",
        ),
        (
            "What became of the delievred one, then?",
            TWO,
            "Which: delivered. [#W1] cancelled, no; [#W2] delivered, yes.",
        ),
        ("What zip code is order #W3 shipped to?", TWO, ""),
        ("And what now?", TWO, ""),
    ],
)
def test_each_order_has_what_the_customer_tells_it_by_and_a_verdict(said: str, meant: dict[str, Any], told: str):
    assert which(agent_of(said, ONE, TWO), [meant], [], "") == f"{told} Meant: {meant['order_id']}.".strip()


def test_an_order_is_told_by_how_it_was_paid():
    told = which(agent_of("Cancel the order I paid for with my PayPal.", TWO, THREE), [THREE], [], "")
    assert told == "Which: paid with paypal_1. [#W2] gift_card_2, no; [#W3] paypal_1, yes. Meant: #W3."


def test_an_order_whose_number_is_misread_is_told_by_the_nearest_one():
    orders = [dict(ONE, order_id="#W123"), dict(TWO, order_id="#W456")]
    told = which(agent_of("Where does order #W213 go?", *orders), orders[:1], [], "")
    assert told == "Which: like #W213. [#W123] like it, yes; [#W456] no. Meant: #W123."


def test_what_does_not_tell_just_the_order_that_is_meant_is_not_written():
    assert (
        which(agent_of("The smart watch, please.", ONE, dict(TWO, status="cancelled")), [ONE], [], "") == "Meant: #W1."
    )
    assert which(agent_of("Cancel the one with two things.", ONE, TWO), [ONE], [], "") == "Meant: #W1."


def test_the_order_of_the_last_matter_and_the_other_one_are_told_by_it():
    assert which(agent_of("Then cancel that one.", ONE, TWO), [ONE], ["#W1"], []) == "Last: #W1. Meant: #W1."
    told = which(agent_of("And the other one?", ONE, TWO), [TWO], ["#W1"], [])
    assert told == "Last: #W1, other: #W2. Meant: #W2."
    before = "The one with two things and the one with a single thing, please."
    told = which(agent_of("Now the next one.", ONE, TWO, THREE), [THREE], ["#W2"], [before])
    assert told == "Last: #W2. Which: 1 thing. [#W1] 3, no; [#W2] 2, no; [#W3] 1, yes. Meant: #W3."
    told = which(agent_of("And the next one.", ONE, TWO, THREE), [THREE], ["#W1"], ["Cancel all that is pending."])
    assert told == (
        "Last: #W1. Which: pending. [#W1] cancelled, no; [#W2] delivered, no; [#W3] pending, yes. Meant: #W3."
    )
    assert which(agent_of("And the backpack, same order.", ONE, TWO), [ONE], ["#W1"], []) == "Last: #W1. Meant: #W1."


def test_of_several_orders_that_are_all_meant_each_is_told_when_its_turn_comes():
    pending = [order(f"#W{number}", "pending", 100.0, "Dallas", "TX", "Perfume") for number in (4, 5, 6)]
    four, five, six = pending
    said = "Cancel all that is pending but #W5."
    assert which(agent_of(said, TWO, *pending), [four], [], []) == (
        "Which: next pending. [#W2] delivered, no; [#W4] pending, yes; [#W5] pending, stays, no; "
        "[#W6] pending, later, no. Meant: #W4."
    )
    four = {**four, "status": "cancelled"}
    assert which(agent_of("Now the next one.", TWO, four, five, six), [six], ["#W4"], [said]) == (
        "Which: next pending. [#W2] delivered, no; [#W4] cancelled, no; [#W5] pending, stays, no; "
        "[#W6] pending, yes. Meant: #W6."
    )
    said = "And the order you haven't shipped."  # the first one goes there already
    assert which(agent_of(said, *pending), [five], ["#W4"], ["All pending orders go there, please."]) == (
        "Which: next pending. [#W4] pending, done, no; [#W5] pending, yes; [#W6] pending, later, no. Meant: #W5."
    )


def test_two_orders_that_are_told_by_something_else_each_get_a_verdict_both():
    told = which(
        agent_of("What did my very first order and the one to Houston cost?", ONE, TWO, THREE), [ONE, TWO], [], []
    )
    assert (
        told
        == "Which: first placed; to Houston. [#W1] 1 of 3, yes; [#W2] Houston, yes; [#W3] 3 of 3, no. Meant: #W1, #W2."
    )
    told = which(agent_of("What did my very first order and #W2 cost?", ONE, TWO, THREE), [ONE, TWO], [], [])
    assert told == "Which: first placed; #W2. [#W1] 1 of 3, yes; [#W2] #W2, yes; [#W3] 3 of 3, no. Meant: #W1, #W2."


def test_no_order_of_the_generated_tasks_is_meant_without_what_tells_it():
    tasks = [task for series in (SERIES5, SERIES6) for task in series.generate(f"train{series.number}", 120)]
    kinds = {"cancel_all", "cancel_all_but", "return_everything", "move", "orders_together", "not_like_another"}
    tasks += [task for task in SERIES6.generate("train6", 900) if kinds & set(task.labels)][:60]
    silent = meant = 0
    for _, text, before in written(TauRetailEnv(source="generated", tasks=tasks)):
        if "Meant: " in text and "Meant: " not in before:
            meant += 1
            silent += not re.search(r"(?:Which|Last): .*Meant: ", text)
    assert meant > 200 and silent < meant / 100


def test_an_item_that_is_told_by_its_price_has_that_of_the_others_beside_it():
    write = Action("return_delivered_order_items", {"order_id": "#W2", "item_ids": ["21"]})
    said = "The smart watch or the tea kettle: whichever of them was more expensive goes back."
    assert dearest(agent_of(said, ONE, TWO), write, [TWO], "") == "Dearest: $101.0 of $100.0, $101.0."
    said = "Return whatever was dearest in #W1."
    write = Action("return_delivered_order_items", {"order_id": "#W1", "item_ids": ["12"]})
    assert dearest(agent_of(said, ONE, TWO), write, [ONE], "") == "Dearest: $102.0 of $100.0, $101.0, $102.0."
    wrong = Action("return_delivered_order_items", {"order_id": "#W1", "item_ids": ["11"]})
    assert dearest(agent_of(said, ONE, TWO), wrong, [ONE], "") == ""
    said = "What's the cheapest thing in #W1, and what did it cost?"
    answer = "The cheapest item of order #W1 is the smart watch at $100.00."
    assert dearest(agent_of(said, ONE, TWO), None, [ONE], answer) == "Cheapest: $100.0 of $100.0, $101.0, $102.0."
    assert dearest(agent_of("Return the laptop.", ONE, TWO), write, [ONE], "") == ""


def written(env: TauRetailEnv) -> Iterator[tuple[OracleAgent, str, str]]:
    """The oracle, what it writes down before each of its messages, and what it wrote before that in the same matter."""
    for task in env.tasks:
        before = ""
        agent = OracleAgent(task, whole_proposals=True, reads_every_order=True)
        reasoner = Reasoner(agent)
        observation, opening = env.reset(task_id=task.id, seed=1)
        info: ResetInfo | StepInfo = opening
        over = False
        while not over:
            message = agent.act(observation, info)
            call = message.tool_calls[0] if message.tool_calls else None
            if call:
                text = reasoner.before_call(call, observation)
            elif agent.proposed:
                text = reasoner.before_proposal(agent.proposed, observation)
            else:
                text = reasoner.before_words(observation)
            yield agent, text, before
            before += text
            if agent.attends or (call and call.name in WRITE_TOOLS):
                reasoner.done()
                before = ""
            observation, _, terminated, truncated, info = env.step(message)
            over = terminated or truncated


def has(one: Any, value: str) -> bool:
    """Whether an order has what stands beside it."""
    names = {row["name"] for row in one["items"]}
    options = {option for row in one["items"] for option in row["options"].values()}
    amount = one["payment_history"][0]["amount"]
    known = {one["status"], str(len(one["items"])), *one["address"].values(), f"${amount}", *names, *options, "like it"}
    known |= {one["order_id"], "later", "done", "stays"}  # of several that are all meant
    known |= {f"${row['price']}" for row in one["items"]} | {one["payment_history"][0]["payment_method_id"]}
    return all(part in known or re.fullmatch(r"\d of \d", part) for part in value.split(", "))


def test_exactly_the_orders_that_are_meant_get_a_yes_and_all_values_are_true():
    tasks = [task for series in (SERIES4, SERIES5, SERIES6) for task in series.generate(f"train{series.number}", 40)]
    told = meant = lacking = 0
    for agent, text, before in written(TauRetailEnv(source="generated", tasks=tasks)):
        orders = {one["order_id"]: one for one in agent.orders()}
        assert text.count("Which: ") <= 1 and not ("Which: " in text and "Which: " in before), before + text
        assert ("Which: " in text) == bool(WHICH.search(text)), text
        meant += "Meant: " in text and "Meant: " not in before
        for label, found, among, rows, ids in WHICH.findall(text):
            verdicts = VERDICT.findall(f"{rows}.")
            assert label and set(orders) == {order_id for order_id, _, _ in verdicts}, text
            assert [one for one, _, verdict in verdicts if verdict == "yes"] == ids.split(", "), text
            assert all(not value or has(orders[one], value) for one, value, _ in verdicts), text
            if among:
                sums = [float(each) for each in re.findall(r"\$([\d.]+\d)", among)]
                assert float(found[1:]) in (min(sums), max(sums)), text
            told += 1
        if "items" in agent.asks and "order" not in agent.lacks and len(orders) > 1:
            lacking += "Meant: " in text
            assert "Meant: " in text or any(one in agent.matter for one in orders), text
    assert (told, lacking) > (60, 0) and told > 0.7 * meant, (told, meant, lacking)
