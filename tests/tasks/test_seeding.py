"""Seeded choices: the same for ever, within bounds, and as likely as asked."""

from collections import Counter

import pytest

from tau_retail_env.tasks.seeding import Draws, order_of


def test_a_seed_decides_the_sequence_for_ever():
    draws = Draws("a seed")
    assert [draws.below(100) for _ in range(8)] == [39, 3, 76, 40, 87, 90, 67, 1]


def test_an_order_depends_on_its_parts_alone_and_holds_everything_once():
    assert order_of(8, 42, "retail_train", 0) == (0, 2, 7, 6, 1, 5, 4, 3)
    assert sorted(order_of(8, 42, "retail_train", 1)) == list(range(8))
    assert (
        len({order_of(50, 1, "a", 0), order_of(50, 1, "a", 1), order_of(50, 1, "b", 0), order_of(50, 2, "a", 0)}) == 4
    )


def test_another_seed_gives_another_sequence():
    first, second = Draws("first"), Draws("second")
    assert [first.below(1000) for _ in range(5)] != [second.below(1000) for _ in range(5)]


def test_a_sample_holds_each_place_at_most_once():
    for number in range(50):
        assert sorted(Draws(str(number)).sample("abc", 3)) == ["a", "b", "c"]


def test_weights_decide_how_often_each_item_is_drawn():
    draws = Draws("weights")
    counts = Counter(draws.weighted("abc", (1, 0, 3)) for _ in range(4_000))
    assert counts["b"] == 0
    assert counts["c"] / counts["a"] == pytest.approx(3, rel=0.2)


def test_weights_without_a_positive_one_are_refused():
    with pytest.raises(ValueError, match="positive"):
        Draws("weights").weighted("a", (0,))
