"""The kinds of part that only the sixth series has: what is wanted follows from the orders, the lists and the words."""

import re
from collections import Counter

import pytest

from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.env import TauRetailEnv
from tau_retail_env.episodes.plan import EpisodeRequest
from tau_retail_env.episodes.player import play_episode
from tau_retail_env.sources.generated import SERIES6, series4, series5, series6
from tau_retail_env.sources.generated.wording import rules
from tau_retail_env.sources.tau2.tasks import shop_database
from tau_retail_env.tasks import gold_writes
from tau_retail_env.users.scripted.story import story_of

RETURN, CANCEL = "return_delivered_order_items", "cancel_pending_order"


def drawn(kind, count=120, split="train6"):
    """Tasks of one kind of part alone."""
    tasks = SERIES6.generate(split, count, seed=1, weights={kind: 1})
    assert all(task.labels[1:] == (kind,) for task in tasks)
    return tasks


def opening(task, number=0):
    beat = story_of(task).beats[number]
    return beat.say or beat.prose


def order_of(write):
    return shop_database()["orders"][write.arguments["order_id"]]


def rows_of(write):
    """The items of an order that a write is about; one for each time that it names one."""
    left = list(order_of(write)["items"])
    return [left.pop([row["item_id"] for row in left].index(one)) for one in write.arguments["item_ids"]]


def swap_of(write):
    """The item that a change is about, its new variant, and the other variants in stock."""
    (row,), (new,) = rows_of(write), write.arguments["new_item_ids"]
    variants = shop_database()["products"][row["product_id"]]["variants"]
    return row, variants[new], [each for each in variants.values() if each["available"] and each["item_id"] != new]


def changes(row, new):
    return {name for name, value in new["options"].items() if row["options"][name] != value}


def test_they_are_no_kinds_of_an_older_series_and_each_is_drawn():
    assert not set(series6.NEW) & {*series4.KINDS, *series5.KINDS}
    counts = Counter(label for task in SERIES6.generate("train6", 2_000) for label in task.labels[1:])
    assert min(counts[kind] for kind in series6.NEW) >= 15
    assert 0.1 < sum(counts[kind] for kind in series6.NEW) / sum(counts.values()) < 0.2


@pytest.mark.parametrize("kind", sorted(series6.NEW))
@pytest.mark.parametrize("split", ["train6", "test6"])
def test_the_customer_plays_them_and_the_oracle_earns_everything(kind, split):
    tasks = drawn(kind, 12, split)
    env = TauRetailEnv("generated", tasks=tasks)
    for task in tasks:
        for whole in (True, False):
            agent = OracleAgent(task, whole_proposals=whole, reads_every_order=whole)
            episode = play_episode(env, agent, EpisodeRequest(task.id, 1))
            assert episode.reward == episode.reward_breakdown["process"] == 1.0, task.id


def test_of_the_versions_that_differ_in_a_free_option_alone_the_one_that_is_told_is_wanted():
    ends = Counter()
    for task in drawn("any_will_do"):
        (write,) = gold_writes(task)
        row, new, others = swap_of(write)
        assert 1 <= len(changes(row, new)) <= 2
        told = [name for name in row["options"] if re.search(rf"\b{name}\b", opening(task), re.IGNORECASE)]
        fitting = []
        for free in told or row["options"]:  # its name may be mistyped
            wanted = {**new["options"], free: ""}
            fitting.append([each["price"] for each in others if {**each["options"], free: ""} == wanted])
        assert any(not prices or new["price"] < min(prices) or new["price"] > max(prices) for prices in fitting)
        ends["cheapest" if re.search("cheapest|least|afford|lowest", opening(task)) else "other"] += 1
        ends["alone"] += [] in fitting
    assert min(ends.values()) > 10


def test_what_is_named_as_it_is_stays():
    for task in drawn("kept_by_name"):
        (write,) = gold_writes(task)
        row, new, _ = swap_of(write)
        assert len(changes(row, new)) == 1 and len(row["options"]) > 2


def test_what_is_picked_was_told():
    ways = Counter()
    for task in drawn("heard_then_picked"):
        asked, then = story_of(task).beats
        (write,) = gold_writes(task)
        _, new, _ = swap_of(write)
        told = re.findall(r"(?<= at )\$[\d.]+\d", asked.answer)
        assert f"${new['price']:.2f}" in told and 1 < len(told) < 5
        for place, word in enumerate(("first", "second", "third", "fourth")):
            if re.search(rf"\b(?:your|the|that|me|what came) {word}\b", then.say):
                assert told[place] == f"${new['price']:.2f}"
                ways[word] += 1
    assert set(ways) == {"first", "second", "third", "fourth"}


def test_another_matter_comes_before_the_yes_and_the_wish_comes_back():
    done = Counter()
    for task in drawn("something_else_first"):
        first, *between, then = story_of(task).beats
        *before, last = gold_writes(task)
        assert first.turn and first.answer.endswith(".") and not first.refusal
        assert last.arguments["order_id"] in first.answer and then.write == len(before)
        assert all(write.arguments["order_id"] != last.arguments["order_id"] for write in before)
        assert bool(before) != bool(between[0].ask)
        done[bool(before)] += 1
    assert min(done.values()) > 25


def test_one_of_two_of_a_kind_stays_and_all_else_goes_back():
    for task in drawn("all_but_one_twin", 60):
        (write,) = gold_writes(task)
        sent, every = write.arguments["item_ids"], order_of(write)["items"]
        assert len(sent) == len(every) - 1 > 1
        (kept,) = [row for row in every if row["item_id"] not in sent] or [None]
        assert kept is None or sum(row["product_id"] == kept["product_id"] for row in every) == 2


def test_all_of_a_kind_goes_back_and_nothing_else():
    for task in drawn("every_one_of_a_kind", 60):
        (write,) = gold_writes(task)
        products = [row["product_id"] for row in rows_of(write)]
        assert len(products) == 2 and len(set(products)) == 1
        assert sum(row["product_id"] == products[0] for row in order_of(write)["items"]) == 2


def test_the_other_one_is_in_the_only_other_order_that_has_one_and_that_is_of_another_state():
    ends = Counter()
    for task in drawn("the_other_one"):
        first, then = gold_writes(task)
        orders = [shop_database()["orders"][each] for each in shop_database()["users"][task.user_id]["orders"]]
        products = {row["product_id"] for row in rows_of(first)}
        having = [each for each in orders if products & {row["product_id"] for row in each["items"]}]
        assert {each["order_id"] for each in having} == {first.arguments["order_id"], then.arguments["order_id"]}
        assert {each["status"] for each in having} == {"pending", "delivered"}
        assert not re.search(r"#W\d", opening(task, 1))
        ends[then.name] += 1
    assert len(ends) == 4


def test_refunds_do_not_change_places():
    ends = Counter()
    for task in drawn("refunds_crossed", 100):
        first = story_of(task).beats[0]
        ids = re.findall(r"#W\d+", first.answer)
        paid = [shop_database()["orders"][each]["payment_history"][0]["payment_method_id"] for each in ids]
        assert first.vain and len(set(paid)) == 2
        for write in gold_writes(task):
            own = order_of(write)["payment_history"][0]["payment_method_id"]
            assert write.arguments.get("payment_method_id", own) == own and write.arguments["order_id"] in ids
        ends[len(gold_writes(task))] += 1
    assert set(ends) == {0, 2} and min(ends.values()) > 20


def test_what_becomes_of_a_thing_that_is_to_go_follows_from_its_order_and_not_from_the_words():
    for held_out in (False, True):
        words = rules(series6.GRAMMAR, held_out)
        for line in (*words["rid_of_order"], *words["rid_of_item"]):
            assert not re.search("cancel|return|refund|send|ship|order(?!})", line, re.IGNORECASE), line
    ends = Counter()
    for task in drawn("be_rid_of", 300):
        writes = gold_writes(task)
        assert [write.name for write in writes] in ([], [RETURN], [CANCEL])
        if writes and writes[0].name == CANCEL:
            assert order_of(writes[0])["status"] == "pending"
        elif writes:
            assert order_of(writes[0])["status"] == "delivered"
            assert len(writes[0].arguments["item_ids"]) in (1, len(order_of(writes[0])["items"]))
        else:
            assert re.search("is processed|as a whole", story_of(task).beats[0].refusal)
        ends[writes[0].name if writes else ""] += 1
    assert min(ends.values()) > 20
