"""Generated tasks: for ever the same, clearly told, granted by upstream's tools, and unlike τ²'s own."""

import hashlib
import json
from dataclasses import asdict

import pytest

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.sources import load_tasks
from tau_retail_env.sources.generated import generate_task, generate_tasks
from tau_retail_env.sources.generated.tasks import examples
from tau_retail_env.sources.tau2.tasks import shop_database
from tau_retail_env.tasks import SUBSETS, gold_writes, select_subset
from tau_retail_env.tasks.subsets import DIFFICULTIES
from tau_retail_env.tasks.writes import canonical_writes

ITEM_CHANGES = ("exchange_delivered_order_items", "modify_pending_order_items")


@pytest.fixture(scope="module")
def train():
    return load_tasks("generated", "train")


@pytest.fixture(scope="module")
def test():
    return load_tasks("generated", "test")


def writes(tasks, *names):
    return [action for task in tasks for action in gold_writes(task) if not names or action.name in names]


def order_of(action):
    return shop_database()["orders"][action.arguments["order_id"]]


def fields_then(task):
    """A task's fields when the digest below was recorded; the first series has nothing in the later ones."""
    fields = asdict(task)
    later = ("version", "assertions", "story", "labels")
    assert [fields.pop(name) for name in later] == [None, (), None, ()]
    return fields


def test_tasks_are_the_same_for_ever():
    tasks = [fields_then(task) for split in ("train", "test") for task in generate_tasks(split, 200)]
    digest = hashlib.sha256(json.dumps(tasks, sort_keys=True).encode()).hexdigest()
    assert digest == "c191e86fbb1718e60a896bdb4553bb39b0e83d4beddcc55bbf83c5b4bcea1cf5"


def test_a_task_depends_on_its_split_and_number_only(train):
    assert generate_task("train", 777) == train[777]
    assert generate_tasks("train", 3) == train[:3]
    assert generate_task("train", 10_001).id == "generated/train/10001"


def test_the_default_sizes_and_ids(train, test):
    assert [task.id for task in train] == [f"generated/train/{number}" for number in range(10_000)]
    assert [task.id for task in test] == [f"generated/test/{number}" for number in range(4_000)]


def test_no_two_of_the_training_tasks_or_of_the_first_thousand_test_tasks_are_told_alike(train, test):
    for tasks in (train, test[:1_000]):
        assert len({task.instruction for task in tasks}) == len(tasks)


def test_the_splits_have_disjoint_customers(train, test):
    assert not {task.user_id for task in train} & {task.user_id for task in test}
    assert len({task.user_id for task in test}) > 80


@pytest.mark.parametrize(("split", "least"), [("train", 500), ("test", 40)])
def test_every_kind_of_single_request_has_enough_tasks(split, least, train, test):
    tasks = {"train": train, "test": test}[split]
    kinds = set(SUBSETS) - {"all", "lookup", "single", "multi", "transfer", *DIFFICULTIES}
    assert {kind: len(select_subset(tasks, f"single*{kind}")) >= least for kind in kinds} == dict.fromkeys(kinds, True)


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_examples_have_just_the_kinds_that_the_tasks_of_a_split_have(split, train, test):
    def kinds(tasks):
        return {frozenset(name for name, holds in SUBSETS.items() if holds(task)) for task in tasks}

    assert kinds(examples(split)) == kinds({"train": train, "test": test}[split])


def test_about_two_thirds_hold_one_request_and_none_more_than_three(train):
    counts = [len(gold_writes(task)) for task in train]
    assert set(counts) == {1, 2, 3}
    assert 0.62 < counts.count(1) / len(counts) < 0.72


def test_gift_cards_cover_all_charges_without_counting_on_refunds(train, test):
    users = shop_database()["users"]
    for task in train + test:
        cards = {
            name: method["balance"]
            for name, method in users[task.user_id]["payment_methods"].items()
            if method["source"] == "gift_card"
        }
        for action in gold_writes(task):
            method = action.arguments.get("payment_method_id")
            if method in cards:
                cards[method] -= max(0.0, charge(action))
        assert min(cards.values(), default=0) >= 0, task.id


def charge(action):
    if action.name == "modify_pending_order_payment":
        return order_of(action)["payment_history"][0]["amount"]
    if action.name in ITEM_CHANGES:
        return sum(wanted["price"] - item["price"] for item, wanted in changes(action))
    return 0.0


def changes(action):
    """The (present item, wanted variant) pairs of an exchange or a change of items."""
    items = {item["item_id"]: item for item in order_of(action)["items"]}
    products = shop_database()["products"]
    pairs = zip(action.arguments["item_ids"], action.arguments["new_item_ids"], strict=True)
    return [(items[old], products[items[old]["product_id"]]["variants"][new]) for old, new in pairs]


def test_a_task_begins_with_the_lookup_that_finds_just_its_customer(train, test):
    users = shop_database()["users"]
    for task in train + test:
        first, user = task.actions[0], users[task.user_id]
        if first.name == "find_user_id_by_email":
            assert list(first.arguments.values()) == [user["email"]]
            proof = "email"
        else:
            assert first.name == "find_user_id_by_name_zip"
            assert first.arguments == {**user["name"], "zip": user["address"]["zip"]}
            proof = "zip"
        assert all(str(value) in task.instruction for value in first.arguments.values())
        assert all(str(value) in task.scenario.known_info for value in first.arguments.values())
        assert proof in task.scenario.known_info and proof not in task.scenario.unknown_info


def test_no_two_customers_share_an_email_or_a_name_and_zip():
    users = shop_database()["users"].values()
    assert len({user["email"].lower() for user in users}) == len(users)
    names = {(*map(str.lower, user["name"].values()), user["address"]["zip"]) for user in users}
    assert len(names) == len(users)


def test_everything_that_decides_the_change_is_told_but_item_ids(train, test):
    for task in train + test:
        for action in gold_writes(task):
            for name, value in action.arguments.items():
                told = [] if name in ("item_ids", "new_item_ids", "user_id") else [value]
                assert all(str(each) in task.scenario.reason_for_call for each in told), (task.id, name)
            for item_id in (*action.arguments.get("item_ids", ()), *action.arguments.get("new_item_ids", ())):
                assert item_id not in task.instruction, task.id
        assert task.scenario.reason_for_call in task.instruction
        assert task.scenario.persona in task.instruction


def test_items_are_told_by_names_that_are_unambiguous_within_the_order(train, test):
    for task in train + test:
        for action in gold_writes(task):
            if "item_ids" not in action.arguments:
                continue
            items = order_of(action)["items"]
            assert len({item["name"] for item in items}) == len(items), task.id
            named = [item for item in items if item["item_id"] in action.arguments["item_ids"]]
            assert len(named) == len(action.arguments["item_ids"]), task.id
            assert all(f"the {item['name']}" in task.scenario.reason_for_call for item in named), task.id


def test_the_wanted_options_are_told_and_only_one_available_variant_has_them(train, test):
    products = shop_database()["products"]
    for task in train + test:
        for action in writes([task], *ITEM_CHANGES):
            for item, wanted in changes(action):
                variants = products[item["product_id"]]["variants"].values()
                fitting = [each for each in variants if each["available"] and each["options"] == wanted["options"]]
                assert fitting == [wanted] and wanted["options"] != item["options"], task.id
                differing = {name: value for name, value in wanted["options"].items() if item["options"][name] != value}
                for name, value in differing.items():
                    assert f"{name} {value}" in task.scenario.reason_for_call, task.id


def test_a_pending_order_has_one_item_changed_and_an_exchange_at_most_three(train, test):
    counts = {
        name: {len(action.arguments["item_ids"]) for action in writes(train + test, name)} for name in ITEM_CHANGES
    }
    assert counts == {"exchange_delivered_order_items": {1, 2, 3}, "modify_pending_order_items": {1}}


def test_a_refund_goes_to_the_original_method_or_to_a_gift_card(train, test):
    users = shop_database()["users"]
    for action in writes(train + test, "return_delivered_order_items"):
        order, method = order_of(action), action.arguments["payment_method_id"]
        original = order["payment_history"][0]["payment_method_id"]
        source = users[order["user_id"]]["payment_methods"][method]["source"]
        assert method == original or source == "gift_card"


def test_new_addresses_differ_from_the_present_ones(train, test):
    users = shop_database()["users"]
    for action in writes(train + test, "modify_pending_order_address", "modify_user_address"):
        concerned = users[action.arguments["user_id"]] if "user_id" in action.arguments else order_of(action)
        assert action.arguments["zip"] != concerned["address"]["zip"]


def test_each_request_of_a_task_concerns_another_order_of_its_customer(train, test):
    orders = shop_database()["orders"]
    for task in train + test:
        order_ids = [action.arguments.get("order_id") for action in gold_writes(task)]
        assert len(set(order_ids)) == len(order_ids), task.id
        assert all(orders[order_id]["user_id"] == task.user_id for order_id in order_ids if order_id), task.id


def test_each_write_follows_the_lookups_it_needs(train, test):
    for task in train + test:
        seen = []
        for action in task.actions[1:]:
            if action.name.startswith("get_"):
                seen.append(next(iter(action.arguments.values())))
                continue
            needed = [action.arguments["order_id"]] if "order_id" in action.arguments else []
            if action.name in ITEM_CHANGES:
                needed += [item["product_id"] for item, _ in changes(action)]
            assert seen == needed, task.id
            seen = []
        assert seen == [], task.id


def test_no_task_asks_for_the_changes_of_a_tau2_task(train, test):
    taken = {canonical_writes(task) for task in load_tasks("tau2", "base")}
    assert not [task.id for task in train + test if canonical_writes(task) in taken]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: generate_tasks("dev"), "Unknown split of source 'generated' 'dev'; known: train, test"),
        (lambda: generate_task("dev", 0), "Unknown split of source 'generated' 'dev'"),
        (lambda: generate_tasks("train", 0), "count of generated tasks is 0; expected a whole number from 1 on"),
        (lambda: generate_task("train", -1), "number of a generated task is -1; expected a whole number from 0 on"),
    ],
)
def test_impossible_requests_for_tasks_are_refused(call, message):
    with pytest.raises(InvalidValueError, match=message):
        call()
