"""Two agents on the same tasks, against values worked out by hand, scipy and statsmodels."""

import random

import pytest

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.statistics.paired import mcnemar_exact, paired_difference


def tasks(*trials):
    return {f"tau2/{number}": list(map(bool, one)) for number, one in enumerate(trials)}


def test_mcnemar_of_a_worked_example():
    # 2 against 8: 2 (1 + 10 + 45) / 1024.
    assert mcnemar_exact(2, 8) == pytest.approx(112 / 1024)
    assert mcnemar_exact(0, 0) == 1.0
    assert mcnemar_exact(5, 5) == 1.0


@pytest.mark.parametrize(("first", "second"), [(0, 6), (2, 8), (30, 14), (7, 7)])
def test_mcnemar_is_that_of_scipy_and_statsmodels(first, second):
    stats = pytest.importorskip("scipy.stats", reason="needs scipy")
    tables = pytest.importorskip("statsmodels.stats.contingency_tables", reason="needs statsmodels")
    assert mcnemar_exact(first, second) == pytest.approx(stats.binomtest(first, first + second).pvalue)
    assert mcnemar_exact(first, second) == pytest.approx(tables.mcnemar([[9, first], [second, 4]], exact=True).pvalue)


def test_negative_counts_are_refused():
    with pytest.raises(InvalidValueError, match="negative"):
        mcnemar_exact(-1, 3)


def test_the_difference_is_taken_task_by_task():
    # 0.5 - 0, 0.5 - 0.25, 0 and 0.25: mean 0.25, standard deviation 0.204124, half 1.959964 * 0.204124 / 2.
    before = tasks([0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1], [1, 1, 0, 0])
    after = tasks([1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1], [1, 1, 1, 0])
    found = paired_difference(before, after)
    assert (found.value, found.tasks, found.p_value) == (pytest.approx(0.25), 4, None)
    assert (found.analytic.low, found.analytic.high) == (pytest.approx(0.049962, abs=1e-6), pytest.approx(0.450038))


def test_tasks_that_only_one_played_are_left_out():
    assert paired_difference(tasks([0], [1], [1]), tasks([1], [1])).tasks == 2
    with pytest.raises(InvalidValueError, match="both"):
        paired_difference(tasks([0]), {"tau2/7": [True]})


def test_single_trials_have_a_p_value_and_repeated_ones_do_not():
    assert paired_difference(tasks([0], [0], [1]), tasks([1], [0], [1])).p_value == 1.0
    assert paired_difference(tasks([0, 1], [0]), tasks([1], [0])).p_value is None


def test_a_difference_is_shown_only_where_every_method_says_so():
    # Five against none: the intervals leave out 0, McNemar's p-value is 2 / 32.
    five = paired_difference(tasks(*[[0]] * 5, *[[1]] * 15), tasks(*[[1]] * 20))
    assert not five.bootstrap.low <= 0 <= five.bootstrap.high
    assert (five.p_value, five.is_shown) == (pytest.approx(0.0625), False)
    six = paired_difference(tasks(*[[0]] * 6, *[[1]] * 15), tasks(*[[1]] * 21))
    assert (six.p_value, six.is_shown) == (pytest.approx(0.03125), True)


def test_an_agent_that_is_better_by_as_much_on_every_task_is_told_apart_by_the_sign_test():
    # Without spread there is no interval. Five tasks of five: 2 / 32; six of six: 2 / 64.
    losing, winning = tasks(*[[0, 0]] * 6), tasks(*[[1, 1]] * 6)
    six = paired_difference(losing, winning)
    assert (six.value, six.bootstrap, six.analytic, six.is_shown) == (1.0, None, None, True)
    assert not paired_difference(dict(list(losing.items())[:5]), winning).is_shown


def test_an_agent_does_not_differ_from_itself():
    same = tasks([0, 1], [1, 1], [0, 0])
    found = paired_difference(same, same)
    assert (found.value, found.bootstrap, found.is_shown) == (0.0, None, False)


def test_equal_agents_are_told_apart_in_at_most_some_5_of_100_comparisons():
    shown = 0
    for seed in range(80):
        draw = random.Random(seed)
        chances = [draw.random() for _ in range(60)]
        first, second = (tasks(*[[draw.random() < chance for _ in range(4)] for chance in chances]) for _ in range(2))
        shown += paired_difference(first, second).is_shown
    assert shown <= 8
