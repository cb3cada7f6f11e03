"""The third series of generated tasks: the shapes of the benchmark's stories, told in many more words."""

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
from tau_retail_env.sources.generated import SERIES3, everyday
from tau_retail_env.sources.generated.series import digest_of
from tau_retail_env.sources.generated.series2 import KINDS as KINDS_OF_SERIES_2
from tau_retail_env.sources.generated.series3 import KINDS, SHAPES, SHARES, WRITES_OF_OTHER_EDITIONS
from tau_retail_env.sources.generated.wording import SLOT, rules
from tau_retail_env.sources.tau2.tasks import shop_database
from tau_retail_env.tasks import gold_writes
from tau_retail_env.tasks.files import fields_of
from tau_retail_env.tasks.subsets import DIFFICULTIES
from tau_retail_env.tasks.writes import canonical_writes
from tau_retail_env.users.scripted.story import stories, story_of

DIGEST = "6df3292d9bfccd13074e683b2bd2a3fa79882480a578e838be228a46f02d85f1"
FEWEST_WORDS_OF_A_SENTENCE = 7
"""A sentence of τ²'s stories with fewer words, such as "In that case, cancel it.", may be said by anybody."""


@pytest.fixture(scope="module")
def train():
    return load_tasks("generated", "train3")


@pytest.fixture(scope="module")
def test():
    return load_tasks("generated", "test3")


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


def test_tasks_are_the_same_for_ever(train, test):
    told = json.dumps([*train, *test], default=fields_of, sort_keys=True)
    assert hashlib.sha256(told.encode()).hexdigest() == DIGEST


def test_a_task_depends_on_its_split_number_and_seed_only(train):
    assert SERIES3.generate_one("train3", 777) == train[777]
    assert SERIES3.task_of_id("generated/train3-5/7") == SERIES3.generate_one("train3", 7, seed=5)
    assert SERIES3.task_of_id("generated/train2/7") is None


def test_no_two_of_the_training_tasks_open_alike(train):
    assert len({openings(task)[0] for task in train}) == len(train) == 10_000


def test_the_splits_have_disjoint_customers(train, test):
    assert not {task.user_id for task in train} & {task.user_id for task in test}


def test_training_and_judging_share_no_wording_of_the_rules_that_have_enough(train, test):
    held_out = re.compile("it has a stain|the purchase with the|I'd feel better if I could swap", re.IGNORECASE)
    assert not [text for task in train for text in said(task) if held_out.search(text)]
    assert [text for task in test for text in said(task) if held_out.search(text)]


def test_every_rule_that_a_sentence_uses_is_there():
    for portion in (False, True):
        known = rules(everyday.GRAMMAR, portion)
        assert {f"item {product['name']}" for product in shop_database()["products"].values()} <= set(known)
        options = {
            name
            for product in shop_database()["products"].values()
            for each in product["variants"].values()
            for name in each["options"]
        }
        assert {f"option {name}" for name in options} - {"option battery type", "option waterproof"} <= set(known)
        assert all(line.count("{") == len(SLOT.findall(line)) for lines in known.values() for line in lines)


def test_no_everyday_noun_stands_for_two_products():
    every = [
        (noun, rule)
        for portion in (False, True)
        for rule, nouns in rules(everyday.GRAMMAR, portion).items()
        if rule.startswith("item ")
        for noun in nouns
    ]
    assert len({noun.casefold() for noun, _ in every}) == len(every)


def test_every_kind_of_part_and_every_difficulty_is_there(train):
    counts = Counter(label for task in train for label in task.labels)
    assert set(counts) == {*KINDS, *DIFFICULTIES}
    assert set(SHARES) <= set(KINDS_OF_SERIES_2) and not set(SHAPES) & set(KINDS_OF_SERIES_2)
    assert min(counts[kind] for kind in KINDS) > 100
    assert min(counts[label] for label in DIFFICULTIES) > 2_000


def test_the_oracle_earns_everything_and_keeps_every_rule_of_process(train, test):
    tasks = [*train[:200], *test[:100]]
    env = TauRetailEnv("generated", tasks=tasks)
    for task in tasks:
        episode = play_episode(env, OracleAgent(task), EpisodeRequest(task.id, 0))
        assert episode.reward == 1.0, task.id
        assert episode.reward_breakdown["process"] == 1.0, task.id


def test_the_training_tasks_have_words_in_great_number(train):
    words = Counter(word for task in train for text in said(task) for word in re.findall(r"[a-z']+", text.lower()))
    assert len([word for word, count in words.items() if count > 1]) > 2_000


def test_what_is_returned_for_its_purpose_leaves_the_rest(train):
    orders, seen = shop_database()["orders"], 0
    for task in with_kind(train, "purpose"):
        (write,) = gold_writes(task)
        items = orders[write.arguments["order_id"]]["items"]
        assert 0 < len(write.arguments["item_ids"]) < len(items), task.id
        seen += 1
    assert seen > 30


def test_only_one_part_of_an_address_changes(train):
    shop, seen = shop_database(), 0
    for task in with_kind(train, "part_of_an_address"):
        (write,) = gold_writes(task)
        owner = shop["orders"].get(write.arguments.get("order_id"), shop["users"][task.user_id])
        changed = [name for name, value in owner["address"].items() if write.arguments[name] != value]
        assert changed in (["address1"], ["address2"]), task.id
        seen += 1
    assert seen > 30


def test_a_swap_for_the_very_same_is_one(train):
    tasks = with_kind(train, "same_again")
    assert all(a.arguments["item_ids"] == a.arguments["new_item_ids"] for task in tasks for a in gold_writes(task))
    assert len(tasks) > 30


def test_a_last_resort_comes_after_one_or_two_refusals(train):
    stories_told = [story_of(task).beats for task in with_kind(train, "last_resort")]
    counts = Counter(sum(beat.is_impossible for beat in beats) for beats in stories_told)
    assert set(counts) == {1, 2} and min(counts.values()) > 30
    assert all(beat.otherwise for beats in stories_told for beat in beats[1:])


def test_the_dearer_of_two_is_the_dearer():
    orders, seen = shop_database()["orders"], 0
    for task in SERIES3.generate("train3", 60, seed=1, weights={"twins": 1}):
        text = openings(task)[0].lower()
        (write,) = gold_writes(task)
        items = orders[write.arguments["order_id"]]["items"]
        chosen = next(item for item in items if item["item_id"] == write.arguments["item_ids"][0])
        other = next(item for item in items if item["name"] == chosen["name"] and item is not chosen)
        if "the more expensive one" in text or "the dearer of the two" in text:
            assert chosen["price"] > other["price"], task.id
            seen += 1
    assert seen > 5


def test_no_task_shares_a_write_with_a_task_of_tau2(train, test):
    taken = frozenset().union(*(canonical_writes(task) for task in load_tasks("tau2", "base")))
    assert not [task.id for task in train + test if canonical_writes(task) & taken]


@pytest.mark.parametrize("version", ["1.0", "verified"])
def test_nor_with_one_of_another_edition(train, test, version):
    try:
        tasks = load_tasks("tau2", "base", task_version=version)
    except MissingDependencyError as error:
        pytest.skip(str(error))
    taken = frozenset().union(*(canonical_writes(task) for task in tasks))
    known = frozenset().union(*(canonical_writes(task) for task in load_tasks("tau2", "base")))
    assert {digest_of(write) for write in taken - known} <= WRITES_OF_OTHER_EDITIONS
    assert not [task.id for task in train + test if canonical_writes(task) & taken]


def test_no_training_task_is_near_a_task_of_tau2_in_words(train):
    assert max(nearest_texts(texts(train[:2000]), texts(load_tasks("tau2", "base")))) < 0.3


def test_no_sentence_of_tau2s_stories_is_in_the_grammar():
    told = [text for story in stories().values() for beat in story.beats for text in (beat.say, beat.prose, beat.turn)]
    sentences = [part for text in told for part in re.split(r"(?<=[.!?])\s+", text)]
    long = {part for part in sentences if len(part.split()) >= FEWEST_WORDS_OF_A_SENTENCE}
    theirs = frozenset().union(*map(shingles_of, long))
    lines = [
        line for portion in (False, True) for each in rules(everyday.GRAMMAR[1:], portion).values() for line in each
    ]
    assert not [line for line in lines if len(shingles_of(line) & theirs) > 2]  # seven words in a row
