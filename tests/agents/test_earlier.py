"""What an agent writes down for a wish that goes back to what it told or proposed, or leaves an option free: true."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tau_retail_env.agents.earlier import BACK, RID
from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.agents.order_words import alternatives
from tau_retail_env.env import TauRetailEnv
from tau_retail_env.local.practice import Practice, converse
from tau_retail_env.sources.generated import SERIES6
from tau_retail_env.sources.tau2.tasks import shop_database
from tau_retail_env.tasks import gold_writes
from tau_retail_env.tasks.task import Task

NEW = re.compile(r"New: \$([\d.]+), [^:]*: (\d{10})\. Change: ")
TOLD = re.compile(r"(\d{10})\. Told: ((?:[^;.]|\.\d)*(?:; (?:[^;.]|\.\d)*)*)\. " + NEW.pattern)
FREE = re.compile(r"(\d{10})\. Free: ([^.]*)\. With ((?:[^:.]|\.\d)*): ((?:[^.]|\.\d)*)\. " + NEW.pattern)
STAYS = re.compile(r"(\d{10})\. Stays: ((?:[^.]|\.\d)*)\. Wished, 1: ((?:[^.]|\.\d)*)\. " + NEW.pattern)
PROPOSED = re.compile(r"\d{10}\. As proposed\. " + NEW.pattern)
RID_OF = re.compile(r"To be rid of: (#W\d+), (\w+)\. Wants: ([^.]*)\. ")
CROSSED = re.compile(r"Refund to: (\w+) for (#W\d+), (\w+) for (#W\d+), not as paid: no\. Not possible\.")


def conversations(kind: str, split: str, count: int = 25) -> Iterator[tuple[Task, str]]:
    """Tasks of a kind of part with all that the agent writes and says in each."""
    for task in SERIES6.generate(split, count, seed=2, weights={kind: 1}):
        env = TauRetailEnv(source="generated", tasks=[task], user_strategy="scripted")
        observation, opening = env.reset(task_id=task.id, seed=1)
        agent = OracleAgent(task, whole_proposals=True, reads_every_order=True)
        played = converse(env, observation, opening, agent, Practice(reasons=True))
        assert played.reward == 1.0
        yield task, "\n".join(each["content"] for part in played.parts for each in part if each["role"] != "tool")


def variant(item_id: str) -> dict:
    products = shop_database()["products"].values()
    return next(each["variants"][item_id] for each in products if item_id in each["variants"])


def new_items(task: Task) -> set[str]:
    return {one for write in gold_writes(task) for one in write.arguments.get("new_item_ids", ())}


def test_the_rules_that_go_back_are_in_the_grammars():
    for rule in (*BACK, *RID, "pick_nth", "pick_priced", "pick_option", "target_kept", "free_option"):
        assert len(list(alternatives(rule))) > 4, rule


@pytest.mark.parametrize("split", ["train6", "test6"])
def test_of_the_versions_that_were_told_the_one_that_is_meant_gets_a_yes(split: str):
    for task, text in conversations("heard_then_picked", split):
        (found,) = TOLD.findall(text)
        verdicts = found[1].split("; ")
        (yes,) = [one for one in verdicts if one.endswith(", yes")]
        assert f"${found[2]}" in yes and found[3] in new_items(task)
        (told,) = re.findall(r"these versions are in stock: (.*)\.$", text, re.MULTILINE)
        prices = [f"{float(price):g}" for price in re.findall(r"at \$([\d.]+\d)", told)]
        assert prices == [f"{float(re.findall(r'[$]([0-9.]+)', one)[0]):g}" for one in verdicts]


@pytest.mark.parametrize("split", ["train6", "test6"])
def test_every_version_that_fits_but_for_the_free_option_gets_a_yes(split: str):
    for task, text in conversations("any_will_do", split):
        (found,) = FREE.findall(text)
        old, free, wanted, listed, price, new = found
        assert new in new_items(task) and free in variant(new)["options"]
        fixed = [value for name, value in variant(new)["options"].items() if name != free]
        fitting = [one for one in listed.split("; ") if one.endswith(", yes")]
        assert all(one == f"${one.split(',')[0][1:]}, {', '.join(fixed)}, yes" for one in fitting)
        assert all(f"{name} {value}" in wanted for name, value in variant(new)["options"].items() if name != free)
        prices = [float(one.split(",")[0][1:]) for one in fitting]
        ends = {"cheapest": min(prices), "dearest": max(prices)}
        assert float(price) == ends.get(wanted.rpartition(", ")[2], prices[0]) and old != new
        assert len(prices) == 1 or wanted.endswith(("cheapest", "dearest"))


@pytest.mark.parametrize("split", ["train6", "test6"])
def test_what_stays_is_told_from_what_becomes_different(split: str):
    for _, text in conversations("kept_by_name", split):
        (found,) = STAYS.findall(text)
        old, stays, wished, _, new = found
        before, after = variant(old)["options"], variant(new)["options"]
        assert stays == ", ".join(f"{name} {value}" for name, value in after.items() if before[name] == value)
        assert wished == ", ".join(f"{name} {value}" for name, value in after.items() if before[name] != value)


def test_who_comes_back_to_a_change_gets_what_was_proposed():
    seen = 0
    for task, text in conversations("something_else_first", "train6", 60):
        for _, new in PROPOSED.findall(text):
            assert new in new_items(task) and text.count(f", item {new})") >= 2
            seen += 1
    assert seen > 15


@pytest.mark.parametrize("split", ["train6", "test6"])
def test_the_state_comes_before_what_is_done_with_a_thing_that_is_to_go(split: str):
    acts = {"delivered": "returning", "processed": "cancelling or returning"}
    for _, text in conversations("be_rid_of", split, 40):
        (found,) = RID_OF.findall(text)
        order_id, status, wanted = found
        assert shop_database()["orders"][order_id]["status"] == status
        assert wanted == acts.get(status) or (status == "pending" and wanted.startswith("cancelling"))


def test_each_refund_that_is_to_change_places_is_named_with_the_order_that_did_not_pay_so():
    for _, text in conversations("refunds_crossed", "train6"):
        (found,) = CROSSED.findall(text)
        one, other = (shop_database()["orders"][each]["payment_history"] for each in (found[1], found[3]))
        assert [found[2]] == [paid["payment_method_id"] for paid in one]
        assert [found[0]] == [paid["payment_method_id"] for paid in other]
        assert found[0] != found[2] and f"{found[1]} is " in text and f"{found[3]} is " in text
