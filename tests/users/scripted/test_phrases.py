"""The customer's wording: enough of it, and evaluation's apart from training's."""

from __future__ import annotations

import string

import pytest

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.users.scripted.phrases import MORE_PHRASES, PHRASES, Phrasebook, phrasings
from tau_retail_env.world.consent import is_yes


@pytest.mark.parametrize("act", PHRASES)
def test_every_act_has_ten_phrasings_cut_into_two_parts_to_learn_from_and_one_to_judge(act: str) -> None:
    every, train, held_out = (phrasings(act, portion) for portion in ("all", "train", "held_out"))
    fit, dev = (phrasings(act, portion) for portion in ("train_fit", "train_dev"))
    assert len(set(every)) == len(every) == 10
    assert (len(fit), len(dev), len(held_out)) == (4, 4, 2)
    assert {*fit, *dev} == set(train)
    assert {*train, *held_out} == set(every)


@pytest.mark.parametrize("act", PHRASES)
def test_all_phrasings_of_an_act_have_the_same_slots(act: str) -> None:
    slots = {frozenset(field for _, field, _, _ in string.Formatter().parse(line) if field) for line in PHRASES[act]}
    assert len(slots) == 1


@pytest.mark.parametrize("act", MORE_PHRASES)
def test_the_wide_portion_adds_phrasings_with_the_same_slots_that_no_test_hears(act: str) -> None:
    wide, train, held_out = (phrasings(act, portion) for portion in ("wide", "train", "held_out"))
    assert len(set(wide)) == len(wide) > len(train)
    assert set(train) < set(wide) and not set(wide) & set(held_out)
    slots = {frozenset(field for _, field, _, _ in string.Formatter().parse(line) if field) for line in wide}
    assert len(slots) == 1


def test_every_yes_is_a_yes_and_no_correction_is_one() -> None:
    assert [line for line in phrasings("yes", "wide") if not is_yes(line)] == []
    assert [line for line in phrasings("correction", "wide") if is_yes(line)] == []


def test_the_name_of_the_episode_decides_the_wording() -> None:
    def words(name: str) -> list[str]:
        book = Phrasebook(portion="all", name=name)
        return [book.say("hello") for _ in range(20)]

    assert words("task/1") == words("task/1")
    assert words("task/1") != words("task/2")


def test_an_unknown_portion_is_refused_by_name() -> None:
    with pytest.raises(InvalidValueError, match="heldout"):
        Phrasebook(portion="heldout", name="task/1")
