"""Clustered intervals against values worked out by hand, scipy and statsmodels."""

import math
import random

import pytest

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.statistics.clusters import (
    bootstrap_interval,
    clustered_interval,
    clustered_standard_error,
    rate_interval,
)
from tau_retail_env.statistics.passes import mean_of_tasks


def played(tasks, trials, seed):
    draw = random.Random(seed)
    chances = [draw.random() for _ in range(tasks)]
    return [[float(draw.random() < chance) for _ in range(trials)] for chance in chances]


def test_standard_error_of_a_worked_example():
    # Scores 1 1 and 0 0 and 1 0: mean 1/2, squares 6/4, sums of tasks 1, -1, 0.
    # 1.5/5/6 + ((1 + 1 + 0) - 1.5)/36 = 0.05 + 0.0138889.
    assert clustered_standard_error([[1, 1], [0, 0], [1, 0]]) == pytest.approx(math.sqrt(0.05 + 0.5 / 36))


def test_trials_that_repeat_a_task_add_nothing():
    once = clustered_standard_error([[1.0], [0.0], [1.0], [0.0]])
    often = clustered_standard_error([[1.0] * 50, [0.0] * 50, [1.0] * 50, [0.0] * 50])
    assert often == pytest.approx(once, rel=0.16)
    assert often > 0.86 * once


@pytest.mark.parametrize("trials", [1, 4])
def test_standard_error_is_that_of_statsmodels(trials):
    linear_model = pytest.importorskip("statsmodels.regression.linear_model", reason="needs statsmodels")
    scores = played(40, trials, seed=trials)
    every = [score for one in scores for score in one]
    groups = [number for number, one in enumerate(scores) for _ in one]
    fit = linear_model.OLS(every, [1.0] * len(every)).fit(
        cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False}
    )
    # statsmodels divides the squares by n, Miller by n - 1.
    n = len(every)
    squares = sum((score - sum(every) / n) ** 2 for score in every)
    expected = math.sqrt(fit.bse[0] ** 2 + squares / n / (n - 1) - squares / n**2)
    assert clustered_standard_error(scores) == pytest.approx(expected)


def test_bootstrap_interval_is_that_of_scipy():
    stats = pytest.importorskip("scipy.stats", reason="needs scipy")
    values = [sum(one) / len(one) for one in played(115, 4, seed=3)]
    found = bootstrap_interval(values, resamples=5000)
    expected = stats.bootstrap(
        (values,), lambda x, axis: x.mean(axis=axis), n_resamples=5000, method="percentile", rng=1
    ).confidence_interval
    assert (found.low, found.high) == (pytest.approx(expected.low, abs=0.008), pytest.approx(expected.high, abs=0.008))


def test_the_two_intervals_agree_where_tasks_are_many():
    values = [sum(one) / len(one) for one in played(300, 4, seed=5)]
    first, second = bootstrap_interval(values), clustered_interval([[value] for value in values])
    assert first.low == pytest.approx(second.low, abs=0.01)
    assert first.high == pytest.approx(second.high, abs=0.01)


def test_the_interval_of_tasks_holds_the_true_rate_in_95_of_100_evaluations():
    """Treating trials as independent instead holds it in some 70."""
    held = 0
    for seed in range(300):
        interval = clustered_interval(played(60, 4, seed=seed))
        held += interval.low <= 0.5 <= interval.high
    assert 0.91 <= held / 300 <= 0.98


@pytest.mark.parametrize("values", [[0.25, 0.5, 1.0, 1.0], [0.0] * 40, [1.0] * 39 + [0.75], [0.5]])
def test_the_shown_interval_is_the_clustered_one_of_two_tasks_more(values):
    added = clustered_interval([[value] for value in [*values, 0.0, 1.0]])
    shown = mean_of_tasks(values).interval
    assert (shown.low, shown.high) == (pytest.approx(max(added.low, 0.0)), pytest.approx(min(added.high, 1.0)))


def test_the_shown_interval_of_a_worked_example():
    # 8 of 10 tasks, and 1 of 2 more: 9 of 12; squares 9/16 * 3 + 1/16 * 9 = 2.25; 2.25 / 11 / 12 = 0.017045.
    found = rate_interval(0.8, math.sqrt(0.16 / 9), 10)
    half = 1.959964 * math.sqrt(2.25 / 11 / 12)
    assert (found.low, found.high) == (pytest.approx(0.75 - half), pytest.approx(min(0.75 + half, 1.0)))


@pytest.mark.parametrize("rate", [0.02, 0.05, 0.2, 0.95])
def test_the_shown_interval_holds_a_rate_near_the_floor_or_the_ceiling(rate):
    """The bootstrap's holds 2 and 95 percent in some 88 of 100 evaluations."""
    draw, held = random.Random(f"{rate}"), 0
    for _ in range(300):
        own = [draw.betavariate(rate, 1 - rate) for _ in range(40)]
        values = [sum(draw.random() < chance for _ in range(4)) / 4 for chance in own]
        interval = mean_of_few(values)
        held += interval.low <= rate <= interval.high
    assert held / 300 >= 0.93


def mean_of_few(values):
    """The shown interval, without the bootstrap's resampling."""
    spread = clustered_standard_error([[value] for value in values])
    return rate_interval(sum(values) / len(values), spread, len(values))


def test_the_same_values_give_the_same_interval_in_whichever_order_episodes_ended():
    values = [sum(one) / len(one) for one in played(40, 4, seed=1)]
    assert len({bootstrap_interval(random.Random(order).sample(values, k=40)) for order in range(20)}) == 1


def test_equal_values_have_no_interval():
    assert bootstrap_interval([0.5, 0.5]) is None
    assert clustered_interval([[1.0, 1.0], [1.0]]) is None


def test_a_rate_without_tasks_has_no_interval():
    with pytest.raises(InvalidValueError, match="at least one"):
        rate_interval(0.5, 0.1, 0)


@pytest.mark.parametrize("interval", [bootstrap_interval, lambda values, **more: clustered_interval([values], **more)])
def test_impossible_input_is_refused(interval):
    with pytest.raises(InvalidValueError, match="at least one"):
        interval([])
    with pytest.raises(InvalidValueError, match="confidence"):
        interval([0, 1], confidence=1.0)
