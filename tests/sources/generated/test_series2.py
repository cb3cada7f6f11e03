"""The second series of generated tasks: made like the benchmark's, granted by upstream's tools, told in many words."""

import hashlib
import json
import re
from collections import Counter

import pytest

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.sources import load_tasks
from tau_retail_env.sources.generated import SERIES2
from tau_retail_env.sources.generated.choosing import comparatives
from tau_retail_env.sources.generated.series2 import KINDS
from tau_retail_env.sources.tau2.tasks import shop_database
from tau_retail_env.tasks import SUBSETS, gold_writes, select_subset
from tau_retail_env.tasks.files import fields_of
from tau_retail_env.tasks.subsets import DIFFICULTIES
from tau_retail_env.tasks.writes import canonical_writes
from tau_retail_env.users.scripted.story import story_of

DIGEST = "2b9b48f5821fa6e127bc2fcd30c90c6c0df9a1e5fa3469ddf8c6900fe72e50ea"


@pytest.fixture(scope="module")
def train():
    return load_tasks("generated", "train2")


@pytest.fixture(scope="module")
def test():
    return load_tasks("generated", "test2")


def openings(task):
    """What the customer brings up, in its own words."""
    return [beat.say or beat.prose for beat in story_of(task).beats]


def kinds_of(task):
    return task.labels[1:]


def test_tasks_are_the_same_for_ever(train, test):
    told = json.dumps([*train, *test], default=fields_of, sort_keys=True)
    assert hashlib.sha256(told.encode()).hexdigest() == DIGEST


def test_a_task_depends_on_its_split_number_and_seed_only(train):
    assert SERIES2.generate_one("train2", 777) == train[777]
    assert SERIES2.generate_one("train2", 10_001).id == "generated/train2/10001"
    assert SERIES2.generate_one("train2", 7, seed=5).id == "generated/train2-5/7"
    assert SERIES2.generate_one("train2", 7, seed=5).instruction != train[7].instruction


def test_the_sizes_and_ids(train, test):
    assert [task.id for task in train] == [f"generated/train2/{number}" for number in range(10_000)]
    assert [task.id for task in test] == [f"generated/test2/{number}" for number in range(1_000)]


def test_no_two_of_the_training_tasks_open_alike(train):
    assert len({openings(task)[0] for task in train}) == 10_000
    assert len({task.instruction for task in train}) == 10_000


def test_nor_do_the_test_tasks_but_for_one_in_a_hundred(test):
    assert len({openings(task)[0] for task in test}) > 990
    assert len({task.instruction for task in test}) == 1_000


def test_the_splits_have_disjoint_customers(train, test):
    assert not {task.user_id for task in train} & {task.user_id for task in test}


def test_training_and_judging_share_no_wording_of_the_rules_that_have_enough(train, test):
    held_out = ("trade", "I'd be glad to switch")
    assert not [words for task in train for words in openings(task) if "I'd be glad to" in words]
    assert [words for task in test for words in openings(task) if any(each in words for each in held_out)]


def test_every_kind_of_part_and_every_difficulty_is_there(train):
    counts = Counter(label for task in train for label in task.labels)
    assert set(counts) == {*KINDS, *DIFFICULTIES}
    assert min(counts[kind] for kind in KINDS) > 100
    assert min(counts[label] for label in DIFFICULTIES) > 2_000


def test_difficulty_is_a_subset(train):
    parts = [select_subset(train, label) for label in DIFFICULTIES]
    assert sum(map(len, parts)) == len(train)
    beats = [sum(len(story_of(task).beats) for task in tasks) / len(tasks) for tasks in parts]
    assert beats == sorted(beats)


def test_the_examples_have_every_subset_that_a_split_has(train):
    def named(task):
        return frozenset(name for name, holds in SUBSETS.items() if holds(task))

    assert {named(task) for task in train} <= {named(task) for task in SERIES2.examples("train2")}


def test_a_selection_that_turns_out_to_be_empty_is_refused():
    everything = "easy*returns*exchanges*cancellations*modifications*payment*profile*address*transfer"
    with pytest.raises(InvalidValueError, match="split 'test2' is empty"):
        load_tasks("generated", "test2", everything)


def test_a_task_can_ask_for_several_kinds_in_one_call(train):
    assert sum(len(kinds_of(task)) > 1 for task in train) > 5_000
    assert max(len(gold_writes(task)) for task in train) > 3


def test_each_write_concerns_an_order_of_its_own(train, test):
    for task in train + test:
        order_ids = [action.arguments.get("order_id") for action in gold_writes(task)]
        assert len(set(order_ids)) == len(order_ids), task.id


def test_only_one_item_of_a_pending_order_is_changed_for_upstreams_tool_mixes_several_up(train, test):
    changes = [a for task in train + test for a in gold_writes(task) if a.name == "modify_pending_order_items"]
    assert {len(action.arguments["item_ids"]) for action in changes} == {1}


def swaps(tasks):
    """(task, beat, item, variant) for every exchange and change of one item, with the beat that asks for it."""
    shop = shop_database()
    for task in tasks:
        writes = gold_writes(task)
        for beat in story_of(task).beats:
            write = writes[beat.write] if beat.write is not None else None
            if write and len(write.arguments.get("new_item_ids", ())) == 1:
                rows = shop["orders"][write.arguments["order_id"]]["items"]
                item = next(row for row in rows if row["item_id"] == write.arguments["item_ids"][0])
                variants = shop["products"][item["product_id"]]["variants"]
                yield task, beat, item, variants[write.arguments["new_item_ids"][0]], list(variants.values())


def test_the_cheapest_is_the_cheapest(train):
    seen = 0
    for task, beat, item, wanted, variants in swaps(train):
        if "cheapest one in stock." in beat.say:
            others = [each for each in variants if each["available"] and each["options"] != item["options"]]
            assert wanted["price"] == min(each["price"] for each in others) < item["price"], task.id
            seen += 1
    assert seen > 20


def test_a_bigger_one_differs_in_nothing_but_its_size(train):
    seen = 0
    for task, beat, item, wanted, _ in swaps(train):
        steps = {name for name, words in comparatives().items() if any(f" {each}" in beat.say for each in words)}
        if steps and " or " not in beat.say and not beat.otherwise:
            differing = {name for name, value in wanted["options"].items() if item["options"][name] != value}
            assert len(differing) == 1 and differing <= steps, task.id
            seen += 1
    assert seen > 200


def test_a_first_wish_that_is_refused_is_really_not_to_be_had(train):
    shop, seen = shop_database(), 0
    for task in train:
        for beat in story_of(task).beats:
            if beat.first is not None and beat.refusal and beat.options:
                order = shop["orders"][gold_writes(task)[beat.first].arguments["order_id"]]
                names = beat.items or [
                    row["name"]
                    for row in order["items"]
                    if row["item_id"] in gold_writes(task)[beat.first].arguments["item_ids"]
                ]
                item = next(row for row in order["items"] if row["name"] == names[0])
                wish = {**item["options"], **beat.options[0]}
                variants = shop["products"][item["product_id"]]["variants"].values()
                assert not [each for each in variants if each["available"] and each["options"] == wish], task.id
                seen += 1
    assert seen > 500


def test_what_is_asked_for_and_refused_is_against_the_domain_policy(train):
    orders, reasons = shop_database()["orders"], Counter()
    for task in train:
        for beat in story_of(task).beats:
            if "only pending orders" in beat.refusal:
                order_id = beat.refusal.split()[1]
                assert orders[order_id]["status"] in ("processed", "delivered"), task.id
            if "only delivered orders" in beat.refusal:
                order_id = beat.refusal.split()[1]
                assert orders[order_id]["status"] in ("pending", "processed"), task.id
            reasons[beat.refusal.split(", ")[-1]] += bool(beat.refusal)
    assert reasons["and only pending orders can be cancelled"] > 100
    assert reasons["a refund can only go to the original payment method or to a gift card"] > 100


def test_gift_cards_cover_all_charges(train):
    users, orders, products = (shop_database()[name] for name in ("users", "orders", "products"))
    prices = {item: row["price"] for each in products.values() for item, row in each["variants"].items()}
    for task in train:
        methods = users[task.user_id]["payment_methods"]
        left = {name: method["balance"] for name, method in methods.items() if method["source"] == "gift_card"}
        for action in gold_writes(task):
            given, order = action.arguments, orders.get(action.arguments.get("order_id"), {})
            cost = 0.0
            if action.name == "modify_pending_order_payment":
                cost = order["payment_history"][0]["amount"]
            elif "new_item_ids" in given:
                old = {row["item_id"]: row["price"] for row in order["items"]}
                cost = sum(prices[new] for new in given["new_item_ids"]) - sum(old[item] for item in given["item_ids"])
            if given.get("payment_method_id") in left:
                left[given["payment_method_id"]] -= max(0.0, cost)
        assert min(left.values(), default=0) >= 0, task.id


def test_no_task_shares_a_write_with_a_task_of_tau2(train, test):
    taken = frozenset().union(*(canonical_writes(task) for task in load_tasks("tau2", "base")))
    assert not [task.id for task in train + test if canonical_writes(task) & taken]


def test_tasks_can_be_drawn_of_some_kinds_only_and_have_ids_of_their_own():
    tasks = SERIES2.generate("train2", 50, seed=3, weights={"fallback": 3, "price": 1})
    assert {kind for task in tasks for kind in kinds_of(task)} == {"fallback", "price"}
    assert re.fullmatch(r"generated/train2-3-[0-9a-f]{6}/0", tasks[0].id)


def test_a_task_is_made_again_from_its_id(train):
    assert SERIES2.task_of_id("generated/train2/7") == train[7]
    assert SERIES2.task_of_id("generated/train2-5/7") == SERIES2.generate_one("train2", 7, seed=5)
    assert SERIES2.task_of_id("generated/train/7") is SERIES2.task_of_id("tau2/7") is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SERIES2.generate("train"), "Unknown split of the second series of source 'generated' 'train'"),
        (lambda: SERIES2.generate("train2", 0), "count of generated tasks is 0; expected a whole number from 1 on"),
        (
            lambda: SERIES2.generate_one("train2", -1),
            "number of a generated task is -1; expected a whole number from 0 on",
        ),
        (lambda: SERIES2.generate_one("train2", 0, weights={"refund": 1}), "Unknown kind of part 'refund'"),
    ],
)
def test_impossible_requests_for_tasks_are_refused(call, message):
    with pytest.raises(InvalidValueError, match=message):
        call()
