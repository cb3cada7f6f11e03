"""The fourth series of generated tasks: questions of every kind, second thoughts, several items and orders at once."""

import contextlib
import hashlib
import json
import re
from collections import Counter

import pytest

from benchmarks.generated_tasks import nearest_texts, shingles_of, texts
from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.env import TauRetailEnv
from tau_retail_env.episodes.plan import EpisodeRequest
from tau_retail_env.episodes.player import play_episode
from tau_retail_env.errors import MissingDependencyError
from tau_retail_env.sources import load_tasks
from tau_retail_env.sources.generated import SERIES4, callers, everyday
from tau_retail_env.sources.generated.series3 import KINDS as KINDS_OF_SERIES_3
from tau_retail_env.sources.generated.series4 import KINDS, LEFT_OUT, NEW, SHARES
from tau_retail_env.sources.generated.wording import SLOT, rules
from tau_retail_env.sources.tau2.tasks import shop_database
from tau_retail_env.tasks import gold_writes
from tau_retail_env.tasks.files import fields_of
from tau_retail_env.tasks.subsets import DIFFICULTIES
from tau_retail_env.tasks.writes import canonical_writes
from tau_retail_env.users.scripted.story import stories, story_of

DIGEST = "921947b9df8a34caf5669c376fd1bf20aac88dc67be0c73d5fbde7fb84754df2"
FEWEST_WORDS_OF_A_SENTENCE = 7
"""A sentence of τ²'s stories with fewer words, such as "In that case, cancel it.", may be said by anybody."""


@pytest.fixture(scope="module")
def train():
    return load_tasks("generated", "train4")


@pytest.fixture(scope="module")
def test():
    return load_tasks("generated", "test4")


def openings(task):
    """What the customer brings up, in its own words."""
    return [beat.say or beat.prose for beat in story_of(task).beats]


def said(task):
    """All that the customer may say."""
    for beat in story_of(task).beats:
        yield from filter(None, (beat.say, beat.prose, beat.turn))
        for wordings in (beat.words or {}).values():
            yield from wordings


def with_kind(tasks, kind):
    return [task for task in tasks if task.labels[1:] == (kind,)]


def prices_of(order_id):
    return {item["item_id"]: item["price"] for item in shop_database()["orders"][order_id]["items"]}


def test_tasks_are_the_same_for_ever(train, test):
    told = json.dumps([*train, *test], default=fields_of, sort_keys=True)
    assert hashlib.sha256(told.encode()).hexdigest() == DIGEST


def test_a_task_depends_on_its_split_number_and_seed_only(train):
    assert SERIES4.generate_one("train4", 777) == train[777]
    assert SERIES4.task_of_id("generated/train4-5/7") == SERIES4.generate_one("train4", 7, seed=5)
    assert SERIES4.task_of_id("generated/train3/7") is None


def test_no_two_of_the_training_tasks_open_alike(train):
    assert len({openings(task)[0] for task in train}) == len(train) == 10_000


def test_the_splits_have_disjoint_customers(train, test):
    assert not {task.user_id for task in train} & {task.user_id for task in test}


def test_training_and_judging_share_no_wording_of_the_rules_that_have_enough(train, test):
    held_out = re.compile("on whose doorstep does|what's going on with|so cancel that part of the order", re.IGNORECASE)
    assert not [text for task in train for text in said(task) if held_out.search(text)]
    assert [text for task in test for text in said(task) if held_out.search(text)]


def test_every_rule_that_a_sentence_uses_is_there():
    options = {
        name
        for product in shop_database()["products"].values()
        for each in product["variants"].values()
        for name in each["options"]
    }
    for portion in (False, True):
        known = rules(callers.GRAMMAR, portion)
        assert {f"ask option {name}" for name in options} <= set(known)
        assert all(line.count("{") == len(SLOT.findall(line)) for lines in known.values() for line in lines)


def test_every_kind_of_part_and_every_difficulty_is_there(train):
    counts = Counter(label for task in train for label in task.labels)
    assert set(counts) == {*KINDS, *DIFFICULTIES}
    assert set(SHARES) | LEFT_OUT <= set(KINDS_OF_SERIES_3) and not set(NEW) & set(KINDS_OF_SERIES_3)
    assert min(counts[kind] for kind in KINDS) > 30
    assert min(counts[kind] for kind in NEW) > 50
    assert min(counts[label] for label in DIFFICULTIES) > 2_000


@pytest.mark.parametrize("whole", [False, True])
def test_the_oracle_earns_everything_and_keeps_every_rule_of_process(train, test, whole):
    tasks = [*train[:300], *test[:150]]
    env = TauRetailEnv("generated", tasks=tasks)
    for task in tasks:
        agent = OracleAgent(task, whole_proposals=whole, reads_every_order=whole)
        episode = play_episode(env, agent, EpisodeRequest(task.id, 0))
        assert episode.reward == 1.0, task.id
        assert episode.reward_breakdown["process"] == 1.0, task.id


def test_every_question_is_answered_by_a_sentence_that_holds_its_outputs(train):
    asked = Counter()
    for task in train:
        for beat in story_of(task).beats:
            if beat.ask and beat.outputs:
                answer = beat.answer.lower().replace(",", "")
                assert all(task.outputs[number].lower() in answer for number in beat.outputs), task.id
                assert len(answer.split()) > 3 and answer.endswith("."), answer
                asked[len(beat.outputs)] += 1
    assert min(asked[1], asked[2], asked[3]) > 100


def test_no_question_is_answered_before_it_was_asked(train):
    for task in train[:3000]:
        before = ""
        for beat in story_of(task).beats:
            if beat.ask and beat.outputs:
                told = [task.outputs[number].lower() in before for number in beat.outputs]
                long = any(len(task.outputs[number]) > 3 for number in beat.outputs)
                assert not (all(told) and long), (task.id, beat.answer)
                before += beat.answer.lower().replace(",", "")


def test_a_number_of_items_is_no_digit_of_the_order_that_holds_them(train):
    tasks = with_kind(train, "item_count")
    for task in tasks:
        (beat,) = story_of(task).beats
        order_id = re.search(r"#W\d{7}", beat.answer)[0]
        assert task.outputs[0] not in order_id
        assert int(task.outputs[0]) == len(shop_database()["orders"][order_id]["items"])
    assert len(tasks) > 30


def test_a_question_before_the_yes_leaves_the_wish_as_it_was(train):
    tasks = with_kind(train, "asked_midway")
    for task in tasks:
        first, question, then = story_of(task).beats
        assert first.turn and question.ask and then.write == 0 and len(gold_writes(task)) == 1
        assert gold_writes(task)[0].arguments["order_id"] in first.answer
        assert not any(len(output) > 3 and output in first.answer.lower() for output in task.outputs)
    assert len(tasks) > 100


def test_of_a_partial_cancellation_nothing_is_cancelled_but_the_whole_order(train):
    ends, orders = Counter(), shop_database()["orders"]
    for task in with_kind(train, "cancel_some"):
        refused = any(beat.vain for beat in story_of(task).beats)
        ends[refused, tuple(write.name for write in gold_writes(task))] += 1
        assert all(orders[write.arguments["order_id"]]["status"] == "pending" for write in gold_writes(task))
    assert set(ends) == {
        (False, ("cancel_pending_order",)),
        (True, ()),
        (True, ("cancel_pending_order",)),
        (True, ("modify_pending_order_items",)),
    }
    assert min(ends.values()) > 10


def test_new_addresses_are_mostly_in_streets_that_the_shop_does_not_know(train):
    shop = shop_database()
    owners = (*shop["users"].values(), *shop["orders"].values())
    known = {owner["address"]["address1"].split(" ", 1)[1] for owner in owners}
    streets = [
        write.arguments["address1"].split(" ", 1)[1]
        for task in train
        if {"address", "move", "one_order_and_home"} & set(task.labels)
        for write in gold_writes(task)
        if "address1" in write.arguments and "part_of_an_address" not in task.labels
    ]
    new = [street for street in streets if street not in known]
    assert 0.4 < len(new) / len(streets) < 0.9
    assert len(set(new)) > 80


def test_a_profile_that_is_put_back_is_as_it_was(train):
    tasks, users = with_kind(train, "put_back"), shop_database()["users"]
    for task in tasks:
        first, *orders, last = gold_writes(task)
        home = users[task.user_id]["address"]
        assert all(last.arguments[name] == value for name, value in home.items())
        assert orders and all(order.arguments["address1"] == first.arguments["address1"] for order in orders)
    assert len(tasks) > 10


def test_a_gift_card_that_is_refused_holds_too_little(train):
    tasks, users = with_kind(train, "gift_card_short"), shop_database()["users"]
    for task in tasks:
        first = story_of(task).beats[0]
        held, wanted = (float(amount) for amount in re.findall(r"\$([\d.]+\d)", first.refusal))
        cards = [each for each in users[task.user_id]["payment_methods"].values() if each["source"] == "gift_card"]
        assert [card["balance"] for card in cards] == [held] and held < wanted
        assert cards[0]["id"] != gold_writes(task)[0].arguments["payment_method_id"]
    assert len(tasks) > 30


def test_what_may_stay_is_not_returned(train):
    tasks, seen = with_kind(train, "all_but"), Counter()
    for task in tasks:
        (write,) = gold_writes(task)
        left = set(prices_of(write.arguments["order_id"])) - set(write.arguments["item_ids"])
        assert 0 < len(left) < 3
        seen[len(left)] += 1
    assert min(seen.values()) > 20


def test_the_dearer_of_two_is_the_dearer_and_the_dearest_below_a_price_is_below_it():
    seen = 0
    for task in SERIES4.generate("train4", 200, seed=1, weights={"under_a_price": 1}):
        (write,) = gold_writes(task)
        limit = int(re.search(r"\$(\d+)", openings(task)[0])[1])
        item_id = write.arguments["item_ids"][0]
        order = shop_database()["orders"][write.arguments["order_id"]]
        (item,) = [each for each in order["items"] if each["item_id"] == item_id]
        sold = shop_database()["products"][item["product_id"]]["variants"]
        below = [each for each in sold.values() if each["available"] and each["price"] < limit]
        assert item["price"] >= limit
        assert sold[write.arguments["new_item_ids"][0]]["price"] == max(each["price"] for each in below)
        seen += 1
    assert seen == 200


def test_two_deliveries_are_two_writes_with_one_payment_method(train):
    tasks = with_kind(train, "two_deliveries")
    for task in tasks:
        one, other = gold_writes(task)
        assert one.arguments["order_id"] != other.arguments["order_id"]
        assert one.arguments["payment_method_id"] == other.arguments["payment_method_id"]
    assert len(tasks) > 30


def test_twins_go_both(train):
    orders, tasks = shop_database()["orders"], with_kind(train, "both_twins")
    for task in tasks:
        (write,) = gold_writes(task)
        items = {item["item_id"]: item["product_id"] for item in orders[write.arguments["order_id"]]["items"]}
        counts = Counter(items[item_id] for item_id in write.arguments["item_ids"])
        assert max(counts.values()) == 2, task.id
    assert len(tasks) > 20


def test_no_task_shares_a_write_with_a_task_of_tau2_or_of_v1s_test(train, test):
    taken = frozenset().union(*(canonical_writes(task) for task in load_tasks("tau2", "base")))
    with contextlib.suppress(MissingDependencyError):
        taken |= frozenset().union(*(canonical_writes(task) for task in load_tasks("tau_bench", "test")))
    assert not [task.id for task in train + test if canonical_writes(task) & taken]


@pytest.mark.parametrize("version", ["1.0", "verified"])
def test_nor_with_one_of_another_edition(train, test, version):
    try:
        tasks = load_tasks("tau2", "base", task_version=version)
    except MissingDependencyError as error:
        pytest.skip(str(error))
    taken = frozenset().union(*(canonical_writes(task) for task in tasks))
    assert not [task.id for task in train + test if canonical_writes(task) & taken]


def test_no_training_task_is_near_a_task_of_tau2_in_words(train):
    assert max(nearest_texts(texts(train[:2000]), texts(load_tasks("tau2", "base")))) < 0.3


def test_no_sentence_of_tau2s_stories_is_in_the_grammar():
    told = [text for story in stories().values() for beat in story.beats for text in (beat.say, beat.prose, beat.turn)]
    sentences = [part for text in told for part in re.split(r"(?<=[.!?])\s+", text)]
    long = {part for part in sentences if len(part.split()) >= FEWEST_WORDS_OF_A_SENTENCE}
    theirs = frozenset().union(*map(shingles_of, long))
    new = tuple(name for name in callers.GRAMMAR if name not in everyday.GRAMMAR)
    lines = [line for portion in (False, True) for each in rules(new, portion).values() for line in each]
    assert not [line for line in lines if len(shingles_of(line) & theirs) > 2]  # seven words in a row
