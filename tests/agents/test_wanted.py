"""What a customer wants, as the oracle's reasons call it: the facts of a question, and the money told with a change."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import pytest

from tau_retail_env.agents.asked_facts import BUT_FOR, FACTS, KNOWLEDGE, asked_for, money_asked_for
from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.env import TauRetailEnv
from tau_retail_env.local.practice import Practice, converse
from tau_retail_env.sources.generated import SERIES2, SERIES4, SERIES5
from tau_retail_env.users.scripted.story import Beat

WANTS = re.compile(r"Wants: ([^.]*)\.")
NAMES = {*FACTS.values()}


def test_each_fact_is_called_by_what_was_asked_for():
    told = {
        "Order #W1 cost $12.5 in total.": "the total",
        "Order #W1 is pending (item modified).": "the status",
        "Order #W1 goes to 1 Elm Street, Suite 2, Austin.": "an address",
        "Order #W1 goes to Austin, zip code 78701.": "a zip code",
        "Order #W1 goes to New York.": "a city",
        "Order #W1 was paid with your gift card.": "how it was paid",
        "Yes, order #W1 is pending, so that is possible.": "whether it is possible",
        "Order #W1 is processed, and only pending orders can be cancelled.": "whether it is possible",
        "The mug of order #W1 cost $12.50.": "a price",
        "The mug and the lamp of order #W1 come to $12.50.": "a sum",
        "The battery life of the e-reader in order #W1 is 6.5 hours.": "an option",
        "The most expensive item of order #W1 is the mug at $12.50.": "the dearest item",
        "The most expensive mug in stock costs $12.50.": "the dearest version",
        "The most expensive mug costs $2.50 more.": "the difference to the dearest version",
        "In order #W1, the lamp cost $2.50 more than the mug.": "a difference of two items",
        "The refund for the mug is $12.50.": "the refund",
    }
    for answer, name in told.items():
        assert asked_for(Beat(ask="?", answer=answer), []) == name


def test_several_facts_come_as_they_are_answered_and_one_without_a_name_leaves_them_all():
    answer = "The mug of order #W1 cost $12.50. Order #W1 goes to Austin. The color of the mug in order #W1 is red."
    assert asked_for(Beat(ask="?", answer=answer), []) == "a price; a city; an option"
    assert asked_for(Beat(ask="?", answer=f"{answer} It is a fine day."), []) == KNOWLEDGE
    assert asked_for(Beat(ask="?"), []) == KNOWLEDGE, "many stories of upstream's tasks have no answer of their own"


def test_what_a_sum_leaves_out_is_called_as_in_an_order_that_was_read():
    question = Beat(ask="?", answer="Without the e-reader, the items of order #W1 come to $12.50.")
    assert asked_for(question, ["Lamp", "E-Reader"]) == f"{BUT_FOR} E-Reader"
    assert asked_for(question, []) == f"{BUT_FOR} one thing"


def test_money_is_wanted_with_a_change_only_where_the_customer_asks_for_it():
    assert money_asked_for(Beat(write=0, answer="The refund is $12.50.")) == "the refund"
    assert money_asked_for(Beat(write=0, answer="You get $12.50 back.")) == "the difference"
    for answer in ("", "The lamp cost $12.50.", "The cheapest such lamp costs $12.50, less than $20."):
        assert money_asked_for(Beat(write=0, answer=answer)) == ""


@pytest.fixture(scope="module")
def env() -> TauRetailEnv:
    drawn = [SERIES2.generate("train2", 70), SERIES4.generate("train4", 70), SERIES5.generate("train5", 70)]
    return TauRetailEnv(source="generated", tasks=[task for tasks in drawn for task in tasks])


def messages(env: TauRetailEnv, **practice: object) -> Iterator[list[tuple[OracleAgent, str]]]:
    """What the oracle writes down and says in each conversation, message by message; slips are left out."""
    for number, task in enumerate(env.tasks):
        opened = env.reset(task_id=task.id, seed=1)
        agent = OracleAgent(task, whole_proposals=True, reads_every_order=number % 2 == 0)
        said = converse(env, *opened, agent, Practice(reasons=True, seed=str(number), **practice))
        assert said.reward == 1.0 or "slips" in practice, "a slip that nobody refuses spoils a conversation"
        parts = [(place, said.parts[place][0]["content"]) for place in range(1, len(said.parts), 2)]
        yield [(agent, text) for place, text in parts if place not in said.slips | said.unlearnt]


def test_the_facts_of_generated_questions_have_names(env: TauRetailEnv):
    called: Counter[str] = Counter()
    for said in messages(env, slips=0.35, second_thoughts=2):
        for _, text in said:
            called.update(name for wanted in WANTS.findall(text) for name in wanted.split("; "))
    assert not called[KNOWLEDGE] and len(NAMES & set(called)) > 20, called
    assert sum(called[name] for name in NAMES) > 80


def test_what_is_wanted_says_no_value_that_the_customer_has_yet_to_hear(env: TauRetailEnv):
    for said in messages(env):
        for _, text in said:
            for wanted in WANTS.findall(text):
                assert not re.search(r"[#$\d]", wanted), wanted


def test_a_sum_that_was_asked_for_with_a_change_is_missing_until_it_is_computed(env: TauRetailEnv):
    computed = told = 0
    for said in messages(env):
        wanted = missing = ""
        for _, text in said:
            wanted = next(iter(WANTS.findall(text)), wanted)
            if lacks := re.search(r"Missing: (the (?:refund|difference))\. .*</think>", text):
                assert '"calculate"' in text and wanted.endswith(f", and {lacks[1]}")
                computed, missing = computed + 1, lacks[1]
            elif "Missing: nothing." in text and ", and the " in wanted:
                assert missing or wanted == "returning, and the refund", "one item's price is its refund"
                assert re.search(r"</think>\n(?:The refund is|You pay|You get) \$", text), text
                told, missing, wanted = told + 1, "", ""
    assert computed > 8 and told >= computed
