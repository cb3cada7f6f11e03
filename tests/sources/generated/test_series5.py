"""The fifth series of generated tasks: addresses that stand somewhere, refusals, orders by place, sums, sets."""

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
from tau_retail_env.sources.generated import SERIES5, callers, patrons
from tau_retail_env.sources.generated.series4 import KINDS as KINDS_OF_SERIES_4
from tau_retail_env.sources.generated.series5 import KINDS, NEW, PLAIN, SORTED_OUT
from tau_retail_env.sources.generated.wording import SLOT, rules, sentences
from tau_retail_env.sources.tau2.tasks import shop_database
from tau_retail_env.tasks import gold_writes
from tau_retail_env.tasks.files import fields_of
from tau_retail_env.tasks.subsets import DIFFICULTIES
from tau_retail_env.tasks.writes import canonical_writes
from tau_retail_env.users.scripted.story import stories, story_of

DIGEST = "e329313b34794193aa7e166741fe635bf7af50004281507561096f3cbf51ddbf"
FEWEST_WORDS_OF_A_SENTENCE = 7
"""A sentence of τ²'s stories with fewer words, such as "In that case, cancel it.", may be said by anybody."""
OF_ADDRESSES = {"order_elsewhere", "home_elsewhere", "both_elsewhere", "address_then", "address_then_payment"}


@pytest.fixture(scope="module")
def train():
    return load_tasks("generated", "train5")


@pytest.fixture(scope="module")
def test():
    return load_tasks("generated", "test5")


def drawn(kind, count=150):
    """Tasks of one kind of part."""
    return SERIES5.generate("train5", count, seed=1, weights={kind: 1})


def openings(task):
    """What the customer brings up, in its own words."""
    return [beat.say or beat.prose for beat in story_of(task).beats]


def said(task):
    """All that the customer may say."""
    for beat in story_of(task).beats:
        yield from filter(None, (beat.say, beat.prose, beat.turn))
        for wordings in (beat.words or {}).values():
            yield from wordings


def order_of(write):
    return shop_database()["orders"][write.arguments["order_id"]]


def items_of(write):
    """The rows of an order that a write is about, in its order."""
    rows = {item["item_id"]: item for item in order_of(write)["items"]}
    return [rows[item_id] for item_id in write.arguments["item_ids"]]


def available(product_id):
    return [each for each in shop_database()["products"][product_id]["variants"].values() if each["available"]]


def address(of):
    return {name: of[name] for name in ("address1", "address2", "city", "state", "country", "zip")}


def addresses_of(user_id):
    """The addresses that the shop has of a customer: the profile's, and its orders'."""
    user = shop_database()["users"][user_id]
    return [address(user["address"]), *(address(shop_database()["orders"][each]["address"]) for each in user["orders"])]


def test_tasks_are_the_same_for_ever(train, test):
    told = json.dumps([*train, *test], default=fields_of, sort_keys=True)
    assert hashlib.sha256(told.encode()).hexdigest() == DIGEST


def test_a_task_depends_on_its_split_number_and_seed_only(train):
    assert SERIES5.generate_one("train5", 777) == train[777]
    assert SERIES5.task_of_id("generated/train5-5/7") == SERIES5.generate_one("train5", 7, seed=5)
    assert SERIES5.task_of_id("generated/train4/7") is None


def test_no_two_of_the_training_tasks_open_alike(train):
    assert len({openings(task)[0] for task in train}) == len(train) == 10_000


def test_the_splits_have_disjoint_customers(train, test):
    assert not {task.user_id for task in train} & {task.user_id for task in test}


def test_training_and_judging_share_no_wording_of_the_rules_that_have_enough(train, test):
    held_out = re.compile("the last order in my account|was my biggest bill|is on an order I made")
    assert not [text for task in train for text in said(task) if held_out.search(text)]
    assert [text for task in test for text in said(task) if held_out.search(text)]


def test_what_the_older_series_hold_out_stays_unheard_in_training():
    heard, held_out = (rules(callers.GRAMMAR, portion) for portion in (False, True))
    newer = rules(patrons.GRAMMAR, held_out=False)
    assert not {rule: words for rule in heard if (words := (set(held_out[rule]) - set(heard[rule])) & set(newer[rule]))}


def test_every_rule_that_a_sentence_uses_is_there():
    for portion in (False, True):
        known = rules(patrons.GRAMMAR, portion)
        assert all(line.count("{") == len(SLOT.findall(line)) for lines in known.values() for line in lines)


def test_every_product_has_twelve_nouns_of_its_own_to_learn():
    learnt = {rule: nouns for rule, nouns in rules(patrons.GRAMMAR, False).items() if rule.startswith("item ")}
    heard = {rule: nouns for rule, nouns in rules(patrons.GRAMMAR, True).items() if rule.startswith("item ")}
    assert min(map(len, learnt.values())) >= 12 and min(map(len, heard.values())) >= 3
    every = [noun.casefold() for nouns in (*learnt.values(), *heard.values()) for noun in nouns]
    assert len(set(every)) == len(every)


def test_every_kind_of_part_and_every_difficulty_is_there(train):
    counts = Counter(label for task in train for label in task.labels)
    assert set(counts) == {*KINDS, *DIFFICULTIES}
    assert set(PLAIN) | set(SORTED_OUT) <= set(KINDS_OF_SERIES_4) and not set(NEW) & set(KINDS_OF_SERIES_4)
    assert min(counts[kind] for kind in KINDS) > 30
    assert min(counts[kind] for kind in NEW) > 50
    assert min(counts[label] for label in DIFFICULTIES) > 1_900


def test_a_third_of_the_parts_are_plain_and_one_in_twenty_has_an_address_that_is_not_said(train):
    counts = Counter(label for task in train for label in task.labels[1:])
    parts = sum(counts.values())
    assert 0.3 < sum(counts[kind] for kind in PLAIN) / parts < 0.36
    assert sum(counts[kind] for kind in OF_ADDRESSES) / parts > 0.05


def test_a_fifth_of_the_swaps_are_of_several_items(train):
    swaps = [write for task in train for write in gold_writes(task) if "new_item_ids" in write.arguments]
    assert 0.18 < sum(len(write.arguments["item_ids"]) > 1 for write in swaps) / len(swaps) < 0.3


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
    for task in train:
        for beat in story_of(task).beats:
            if beat.ask and beat.outputs:
                answer = beat.answer.lower().replace(",", "")
                assert all(task.outputs[number].lower() in answer for number in beat.outputs), task.id
                assert len(answer.split()) > 3 and answer.endswith("."), answer


def test_no_question_is_answered_before_it_was_asked(train):
    for task in train[:3000]:
        before = ""
        for beat in story_of(task).beats:
            if beat.ask and beat.outputs:
                told = [task.outputs[number].lower() in before for number in beat.outputs]
                long = any(len(task.outputs[number]) > 3 for number in beat.outputs)
                assert not (all(told) and long), (task.id, beat.answer)
                before += beat.answer.lower().replace(",", "")


@pytest.mark.parametrize("kind", sorted(OF_ADDRESSES - {"address_then"}))
def test_an_address_that_is_not_said_is_the_profiles_or_an_orders(kind):
    for task in drawn(kind):
        moves = [write for write in gold_writes(task) if "address1" in write.arguments]
        assert moves and all(address(write.arguments) in addresses_of(task.user_id) for write in moves), task.id
        assert not any(address(moves[0].arguments)["address1"] in text for text in said(task)), task.id


def test_a_city_that_points_at_an_address_is_that_of_no_other():
    seen = 0
    for task in drawn("order_elsewhere", 300):
        (write,) = gold_writes(task)
        city = write.arguments["city"]
        (hint,) = [text for fact, (text,) in story_of(task).beats[0].words.items() if fact.value == "address"]
        if hint in {sentences(line.replace("{city}", city)) for line in rules(patrons.GRAMMAR, False)["not_said"]}:
            assert len({each["address1"] for each in addresses_of(task.user_id) if each["city"] == city}) == 1
            seen += 1
    assert seen > 50


def test_the_address_comes_before_the_items():
    for task in drawn("address_then"):
        first, second = gold_writes(task)
        assert (first.name, second.name) == ("modify_pending_order_address", "modify_pending_order_items")
        assert first.arguments["order_id"] == second.arguments["order_id"]


def test_of_a_return_and_an_exchange_in_one_order_one_is_granted_at_most():
    ends = Counter(tuple(write.name for write in gold_writes(task)) for task in drawn("return_and_exchange", 300))
    assert set(ends) == {(), ("return_delivered_order_items",), ("exchange_delivered_order_items",)}
    assert min(ends.values()) > 30
    assert all(story_of(task).beats[0].vain for task in drawn("return_and_exchange"))


def test_what_is_changed_twice_is_granted_once():
    for task in drawn("changed_twice"):
        assert [write.name for write in gold_writes(task)] == ["modify_pending_order_items"]
        assert story_of(task).beats[1].vain


def test_what_is_not_in_stock_is_made_and_cannot_be_had():
    refused = 0
    for task in drawn("not_in_stock", 200):
        first = story_of(task).beats[0]
        assert "not available" in first.refusal and (first.vain or first.first == 0)
        refused += not gold_writes(task)
    assert refused > 40


def test_a_cancelled_orders_refund_goes_where_the_money_came_from():
    for task in drawn("cancelled_onto_another"):
        first, *then = story_of(task).beats
        assert first.vain and "paid for it" in first.refusal
        assert len(gold_writes(task)) == len(then) <= 1


def test_all_by_price_takes_the_end_of_every_price_list():
    for task in drawn("all_by_price"):
        (write,) = gold_writes(task)
        rows = items_of(write)
        assert len(rows) == len(order_of(write)["items"]) > 1
        cheap = not re.search("dear|expensive|pric(?!e)|highest|most|best", openings(task)[0], re.IGNORECASE)
        for row, new_id in zip(rows, write.arguments["new_item_ids"], strict=True):
            prices = {each["item_id"]: each["price"] for each in available(row["product_id"])}
            others = [price for item_id, price in prices.items() if item_id != row["item_id"]]
            ends = (min(others), max(others))
            assert prices[new_id] in ends
            assert prices[new_id] == ends[0] or not cheap or len(set(ends)) == 1, task.id


def test_each_of_several_items_becomes_something_else():
    counts = Counter()
    for task in drawn("each_its_own"):
        (write,) = gold_writes(task)
        assert all(old != new for old, new in zip(*list(write.arguments.values())[1:3], strict=True))
        counts[len(write.arguments["item_ids"])] += 1
    assert set(counts) == {2, 3, 4}


def test_one_of_twins_leaves_the_other():
    for task in drawn("one_of_twins"):
        (write,) = gold_writes(task)
        (row,) = items_of(write)
        assert sum(item["product_id"] == row["product_id"] for item in order_of(write)["items"]) == 2


def test_what_lies_beyond_a_price_is_returned_and_nothing_else():
    for task in drawn("beyond_a_price"):
        (write,) = gold_writes(task)
        limit = int(re.search(r"\$(\d+)", openings(task)[0])[1])
        above = {item["item_id"] for item in order_of(write)["items"] if item["price"] > limit}
        below = {item["item_id"] for item in order_of(write)["items"]} - above
        assert set(write.arguments["item_ids"]) in (above, below) and above and below


def test_versions_that_meet_a_condition_are_all_told_with_their_prices():
    for task in drawn("which_and_how_much"):
        (beat,) = story_of(task).beats
        prices = re.findall(r"\$([\d.]+\d)", beat.answer)
        assert not prices or {f"{float(price):g}" for price in prices} == {f"{float(out):g}" for out in task.outputs}


def test_sums_are_those_of_the_shop(train):
    users, orders = shop_database()["users"], shop_database()["orders"]
    for task in drawn("orders_together"):
        (beat,) = story_of(task).beats
        own = users[task.user_id]["orders"]
        named = set(re.findall(r"#W\d{7}", beat.answer))
        status = next((word for word in ("pending", "delivered") if f"all {word} orders" in beat.answer), None)
        chosen = [each for each in own if (each in named if named else orders[each]["status"] == status)]
        total = sum(orders[each]["payment_history"][0]["amount"] for each in chosen)
        assert len(chosen) > 1 and float(task.outputs[0]) == pytest.approx(total), task.id


def test_the_order_placed_last_is_the_last_of_the_profile():
    seen, users = Counter(), shop_database()["users"]
    for task in drawn("cancel", 400):
        (write,) = gold_writes(task)
        own, opening = users[task.user_id]["orders"], openings(task)[0]
        if re.search(r"\b(?:latest|newest|most recent)", opening):
            assert write.arguments["order_id"] == own[-1] and len(own) > 1
            seen["last"] += 1
        if re.search(r"\b(?:very first|oldest|earliest)", opening):
            assert write.arguments["order_id"] == own[0] and len(own) > 1
            seen["first"] += 1
    assert min(seen["last"], seen["first"]) > 10


def test_whose_email_is_not_found_gives_another_or_its_name_and_zip_code(train):
    users, ways = shop_database()["users"], Counter()
    emails = {user["email"] for user in users.values()}
    for task in train:
        story = story_of(task)
        if story.emails and story.emails[0] not in emails:
            assert story.emails[1:] == (users[task.user_id]["email"],) or story.zips == (
                users[task.user_id]["address"]["zip"],
            )
            ways[bool(story.zips)] += 1
    assert min(ways[False], ways[True]) > 300


def test_a_name_and_zip_code_after_an_email_that_is_not_found_find_the_account(train):
    tasks = [task for task in train if story_of(task).emails and story_of(task).zips][:20]
    env = TauRetailEnv("generated", tasks=tasks)
    for task in tasks:
        episode = play_episode(env, OracleAgent(task), EpisodeRequest(task.id, 0))
        called = [call["function"]["name"] for each in episode.messages for call in each.get("tool_calls", ())]
        assert called[:2] == ["find_user_id_by_email", "find_user_id_by_name_zip"], task.id
        assert episode.reward == 1.0


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
    told += [text for story in stories().values() for words in worded(story) for text in words]
    sentences = [part for text in told for part in re.split(r"(?<=[.!?])\s+", text)]
    long = {part for part in sentences if len(part.split()) >= FEWEST_WORDS_OF_A_SENTENCE}
    theirs = frozenset().union(*map(shingles_of, long))
    new = tuple(name for name in patrons.GRAMMAR if name not in callers.GRAMMAR)
    before = {line for portion in (False, True) for each in rules(callers.GRAMMAR, portion).values() for line in each}
    lines = {line for portion in (False, True) for each in rules(patrons.GRAMMAR, portion).values() for line in each}
    assert new and not [line for line in lines - before if len(shingles_of(line) & theirs) > 2]  # seven words in a row


def worded(story):
    """The wordings of facts in a story."""
    for owner in (story, *story.beats):
        yield from (owner.words or {}).values()
