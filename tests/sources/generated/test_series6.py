"""The sixth series of generated tasks: the wishes of the fourth and the fifth in voices of their own, and nine more."""

import contextlib
import hashlib
import json
import re
from collections import Counter

import pytest

from benchmarks.generated_tasks import nearest_texts, shingles_of, texts
from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.agents.small_talk import request_in
from tau_retail_env.env import TauRetailEnv
from tau_retail_env.episodes.plan import EpisodeRequest
from tau_retail_env.episodes.player import play_episode
from tau_retail_env.errors import MissingDependencyError
from tau_retail_env.sources import load_tasks
from tau_retail_env.sources.generated import SERIES6, patrons, series6
from tau_retail_env.sources.generated.patrons import PatronWording
from tau_retail_env.sources.generated.wording import SLOT, rules
from tau_retail_env.tasks import gold_writes
from tau_retail_env.tasks.files import fields_of
from tau_retail_env.tasks.seeding import Draws
from tau_retail_env.tasks.subsets import DIFFICULTIES
from tau_retail_env.tasks.writes import canonical_writes
from tau_retail_env.users.scripted.story import stories, story_of

DIGEST = "d2cc18ef6807d045fad269dbb07a654ea0e2daa7d5a54c78449fd8a8b8d2ca18"
FEWEST_WORDS_OF_A_SENTENCE = 7
"""A shorter sentence may be said by anybody."""
COUNT = 2_000
"""How many of the training tasks are looked at."""


@pytest.fixture(scope="module")
def train():
    return SERIES6.generate("train6", COUNT)


@pytest.fixture(scope="module")
def test():
    return SERIES6.generate("test6", 500)


def said(task):
    """All that the customer may say."""
    for beat in story_of(task).beats:
        yield from filter(None, (beat.say, beat.prose, beat.turn))
        for wordings in (beat.words or {}).values():
            yield from wordings


def test_tasks_are_the_same_for_ever(train, test):
    told = json.dumps([*train, *test], default=fields_of, sort_keys=True)
    assert hashlib.sha256(told.encode()).hexdigest() == DIGEST


def test_a_task_depends_on_its_split_number_and_seed_only(train):
    assert SERIES6.generate_one("train6", 777) == train[777]
    assert SERIES6.task_of_id("generated/train6-5/7") == SERIES6.generate_one("train6", 7, seed=5)
    assert SERIES6.task_of_id("generated/train5/7") is None
    assert load_tasks("generated", "test6")[:500] == SERIES6.generate("test6", 500)


def test_no_two_of_the_training_tasks_open_alike(train):
    assert len({(beat := story_of(task).beats[0]).say or beat.prose for task in train}) == COUNT


def test_the_splits_have_disjoint_customers(train, test):
    assert not {task.user_id for task in train} & {task.user_id for task in test}


def test_training_and_judging_share_no_wording_of_the_rules_that_have_enough():
    learnt, judged = (rules(series6.GRAMMAR, held_out) for held_out in (False, True))
    voices = [rule for rule in learnt if len(learnt[rule]) + len(judged[rule]) > 8]
    assert len(voices) > 400
    assert not {rule: both for rule in voices if (both := set(learnt[rule]) & set(judged[rule]) - {""})}


def test_most_rules_have_voices_of_their_own_with_the_slots_of_the_older_ones():
    for held_out in (False, True):
        older, newer = rules(patrons.GRAMMAR, held_out), rules(series6.GRAMMAR, held_out)
        own = rules(series6.GRAMMAR[-1:], held_out).keys()
        assert older.keys() == newer.keys() - own and not older.keys() & own
        changed = [rule for rule in older if newer[rule] != older[rule]]
        assert len(changed) > 0.9 * len(older)
        for rule in changed:
            every = [
                frozenset(SLOT.findall(line)) for line in (*older[rule], *rules(patrons.GRAMMAR, not held_out)[rule])
            ]
            for line in newer[rule]:
                slots = frozenset(SLOT.findall(line))
                assert line.count("{") == len(SLOT.findall(line))
                assert frozenset.intersection(*every) <= slots <= frozenset.union(*every), (rule, line)


def test_no_noun_of_a_product_is_one_of_another():
    owner = {}
    for held_out in (False, True):
        for rule, nouns in rules(series6.GRAMMAR, held_out).items():
            if rule.startswith("item "):
                for noun in nouns:
                    assert owner.setdefault(noun.casefold(), rule) == rule, noun


def test_every_kind_of_part_and_every_difficulty_is_there(train):
    counts = Counter(label for task in train for label in task.labels)
    assert set(DIFFICULTIES) <= set(counts)
    assert len({*series6.KINDS} - set(counts)) < 3
    assert sum(len(task.labels) - 1 for task in train) / COUNT > 2.0
    assert sum(len(gold_writes(task)) for task in train) / COUNT > 1.4


@pytest.mark.parametrize("whole", [False, True])
def test_the_oracle_earns_everything_and_keeps_every_rule_of_process(train, test, whole):
    tasks = [*train[:300], *test[:150]]
    env = TauRetailEnv("generated", tasks=tasks)
    for task in tasks:
        agent = OracleAgent(task, whole_proposals=whole, reads_every_order=whole)
        episode = play_episode(env, agent, EpisodeRequest(task.id, 0))
        assert episode.reward == 1.0, task.id
        assert episode.reward_breakdown["process"] == 1.0, task.id


@pytest.mark.parametrize("held_out", [False, True])
def test_small_talk_in_other_voices_is_told_from_what_is_asked(held_out):
    wording = PatronWording(Draws("small talk"), held_out=held_out, grammar=series6.GRAMMAR)
    said = {wording.sentence(rule) for rule in ("context", "small_talk") for _ in range(400)} - {""}
    assert not {words for words in said if request_in(f"{words} Cancel the lamp.") != "Cancel the lamp."}
    assert request_in("You see, I want to cancel the lamp.") == "You see, I want to cancel the lamp."


def test_no_task_shares_a_write_with_a_task_of_tau2_or_of_v1s_test(train, test):
    taken = frozenset().union(*(canonical_writes(task) for task in load_tasks("tau2", "base")))
    with contextlib.suppress(MissingDependencyError):
        taken |= frozenset().union(*(canonical_writes(task) for task in load_tasks("tau_bench", "test")))
    assert not [task.id for task in (*train, *test) if canonical_writes(task) & taken]


def test_no_training_task_is_near_a_task_of_tau2_in_words(train):
    assert max(nearest_texts(texts(train[:1_000]), texts(load_tasks("tau2", "base")))) < 0.3


def test_no_sentence_of_tau2s_stories_is_in_the_voices():
    told = [text for story in stories().values() for beat in story.beats for text in (beat.say, beat.prose, beat.turn)]
    told += [text for story in stories().values() for text in worded(story)]
    parts = {part for text in told for part in re.split(r"(?<=[.!?])\s+", text)}
    theirs = frozenset().union(
        *(shingles_of(part) for part in parts if len(part.split()) >= FEWEST_WORDS_OF_A_SENTENCE)
    )
    older, voices = (
        {line for held_out in (False, True) for each in rules(grammar, held_out).values() for line in each}
        for grammar in (patrons.GRAMMAR, series6.GRAMMAR)
    )
    assert not [line for line in voices - older if len(shingles_of(line) & theirs) > 2]  # seven words in a row


def worded(story):
    """The wordings of facts in a story."""
    for owner in (story, *story.beats):
        for wordings in (owner.words or {}).values():
            yield from wordings
