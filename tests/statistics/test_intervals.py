"""pass^k and intervals, against values worked out by hand."""

import pytest

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.statistics.intervals import (
    mean_difference_interval,
    paired_difference_interval,
    pass_hat_k,
    wilson_interval,
)


def test_pass_hat_k_is_the_chance_that_all_trials_succeed():
    # 3 of 4 succeed: C(3,2)/C(4,2) = 3/6; 1 of 4: 0/6.
    assert pass_hat_k([[True, True, True, False], [True, False, False, False]], 2) == pytest.approx(0.25)


def test_it_is_the_success_rate_for_one_trial():
    assert pass_hat_k([[True, False], [True, True]], 1) == pytest.approx(0.75)


def test_fewer_than_k_trials_is_an_error_and_not_a_number():
    with pytest.raises(InvalidValueError, match="only 1 trials"):
        pass_hat_k([[True, True], [True]], 2)
    with pytest.raises(InvalidValueError, match="0 tasks"):
        pass_hat_k([], 1)


def test_wilson_interval_of_8_in_10():
    # z = 1.959964: centre (0.8 + 0.192073)/1.384146 = 0.716740, half 0.313564/1.384146 = 0.226540.
    interval = wilson_interval(8, 10)
    assert (interval.low, interval.high) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))


def test_wilson_interval_stays_open_where_everything_failed():
    interval = wilson_interval(0, 20)
    assert interval.low == pytest.approx(0)
    assert interval.high == pytest.approx(3.841459 / (20 + 3.841459), abs=1e-6)


def test_wilson_interval_refuses_impossible_counts():
    with pytest.raises(InvalidValueError, match="3 of 2"):
        wilson_interval(3, 2)


def pairs(both: int, only_before: int, only_after: int, neither: int) -> tuple[list[bool], list[bool]]:
    before = [True] * (both + only_before) + [False] * (only_after + neither)
    after = [True] * both + [False] * only_before + [True] * only_after + [False] * neither
    return before, after


def test_paired_difference_of_a_worked_example():
    # 20 both, 5 before only, 15 after only, 10 neither: rates 0.5 and 0.7, phi = (200 - 75 - 25)/sqrt(25*25*35*15).
    # Wilson: 0.5 -> 0.366445..0.633555, 0.7 -> 0.562496..0.808964; phi = 0.174574.
    difference, interval = paired_difference_interval(*pairs(20, 5, 15, 10))
    assert difference == pytest.approx(0.2)
    assert interval.low == pytest.approx(0.02584, abs=1e-5)
    assert interval.high == pytest.approx(0.35694, abs=1e-5)


def test_paired_difference_keeps_a_width_where_nothing_changed():
    difference, interval = paired_difference_interval([False] * 50, [False] * 50)
    assert difference == 0
    assert interval.low < 0 < interval.high


def test_paired_difference_is_turned_round_with_its_pairs():
    before, after = pairs(20, 5, 15, 10)
    _, forward = paired_difference_interval(before, after)
    _, backward = paired_difference_interval(after, before)
    assert (backward.low, backward.high) == (pytest.approx(-forward.high), pytest.approx(-forward.low))


def test_paired_difference_needs_pairs():
    with pytest.raises(InvalidValueError, match="2 episodes before and 1 after"):
        paired_difference_interval([True, False], [True])


def test_mean_difference_of_a_worked_example():
    # Differences 0.5, 0.25, 0, 0.25: mean 0.25, deviation sqrt(0.125/3) = 0.204124, quantile 1.959964.
    difference, interval = mean_difference_interval([0, 0.25, 1, 0.5], [0.5, 0.5, 1, 0.75])
    assert difference == pytest.approx(0.25)
    assert interval.low == pytest.approx(0.25 - 1.959964 * 0.204124 / 2, abs=1e-6)
    assert interval.high == pytest.approx(0.25 + 1.959964 * 0.204124 / 2, abs=1e-6)


def test_mean_difference_has_no_interval_where_tasks_show_no_spread():
    assert mean_difference_interval([0.25], [0.75]) == (0.5, None)
    assert mean_difference_interval([0.0] * 40, [0.0] * 40) == (0.0, None)
    assert mean_difference_interval([1 / 3, 2 / 3], [2 / 3, 1.0]) == (pytest.approx(1 / 3), None)


def test_mean_difference_stays_within_what_is_possible():
    _, interval = mean_difference_interval([0.0, 0.0], [1.0, 0.5])
    assert interval.low < 0.75 and interval.high == 1


def test_mean_difference_needs_pairs():
    with pytest.raises(InvalidValueError, match="2 tasks before and 1 after"):
        mean_difference_interval([1.0, 0.5], [1.0])
