"""How many trials show a difference, against the formula by hand, statsmodels and played comparisons."""

import random

import pytest

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.statistics.paired import paired_difference
from tau_retail_env.statistics.power import (
    Spread,
    assumed_spread,
    detectable,
    standard_error,
    trials_needed,
)


def test_trials_of_a_worked_example():
    # (1.959964 + 0.841621)^2 = 7.848879; 2 * 0.125 * 7.848879 / (114 * 0.05^2) = 6.885.
    assert trials_needed(114, 0.05, assumed_spread(0.5)) == 7


def test_a_difference_that_the_trials_show_is_one_that_they_can_detect():
    spread = assumed_spread(0.4, between=0.01)
    trials = trials_needed(114, 0.05, spread)
    assert detectable(114, trials, spread) <= 0.05 < detectable(114, trials - 1, spread)


def test_no_number_of_trials_makes_up_for_too_few_tasks():
    assert trials_needed(40, 0.03, Spread(within=0.1, between=0.05)) is None
    assert trials_needed(5000, 0.03, Spread(within=0.1, between=0.05)) is not None


def test_it_is_the_sample_size_of_statsmodels():
    power = pytest.importorskip("statsmodels.stats.power", reason="needs statsmodels")
    spread = Spread(within=0.12, between=0.0)
    needed = power.normal_sample_size_one_tail(0.05, 0.8, 0.025, std_null=(2 * spread.within) ** 0.5)
    assert trials_needed(1, 0.05, spread) == pytest.approx(needed, abs=1)


def test_comparisons_with_so_many_trials_show_the_difference_in_some_80_of_100():
    within = 0.25  # every task succeeds half the time: all is chance
    trials = trials_needed(100, 0.1, Spread(within, between=0.0))
    shown = 0
    for seed in range(60):
        draw = random.Random(seed)
        first, second = (
            {str(task): [draw.random() < chance for _ in range(trials)] for task in range(100)}
            for chance in (0.45, 0.55)
        )
        shown += paired_difference(first, second).is_shown
    assert 0.65 <= shown / 60 <= 0.92


def test_more_trials_help_only_down_to_the_tasks_own_differences():
    spread = Spread(within=0.1, between=0.04)
    assert standard_error(100, 10**9, spread) == pytest.approx(0.02)


@pytest.mark.parametrize(
    "call",
    [
        lambda: trials_needed(0, 0.1, Spread(0.1, 0)),
        lambda: trials_needed(9, 0, Spread(0.1, 0)),
        lambda: assumed_spread(1.0),
    ],
)
def test_impossible_questions_are_refused(call):
    with pytest.raises(InvalidValueError, match="found"):
        call()
