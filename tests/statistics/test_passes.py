"""pass^k and pass@k over the same tasks for every k, against values worked out by hand."""

import pytest

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.statistics.passes import pass_curve


def trials(*successes, of=4):
    return {f"tau2/{number}": [True] * count + [False] * (of - count) for number, count in enumerate(successes)}


def test_every_k_is_worked_out_from_the_same_trials():
    # 3 of 4 and 1 of 4: pass^2 = (3/6 + 0)/2, pass@2 = (1 + 1/2)/2.
    curve = pass_curve(trials(3, 1), asked=4)
    assert {k: one.value for k, one in curve.all_of_k.items()} == pytest.approx({1: 0.5, 2: 0.25, 3: 0.125, 4: 0.0})
    assert {k: one.value for k, one in curve.one_of_k.items()} == pytest.approx({1: 0.5, 2: 0.75, 3: 0.875, 4: 1.0})
    assert curve.undefined == {}


def test_a_task_with_a_lost_trial_makes_the_last_k_undefined_and_keeps_its_place_in_the_others():
    outcomes = trials(4, 4) | {"tau2/9": [True, False, False]}
    curve = pass_curve(outcomes, asked=4)
    assert list(curve.all_of_k) == [1, 2, 3]
    assert {one.tasks for one in curve.all_of_k.values()} == {3}
    assert curve.undefined == {4: "undefined: tau2/9 has only 3 scored trials"}


def test_pass_hat_k_never_rises_with_k_when_trials_were_lost():
    # Over the tasks that have two trials alone, pass^2 would be 1 and pass^1 0.5.
    curve = pass_curve({"tau2/0": [False], "tau2/1": [True, True]}, asked=2)
    assert {k: one.value for k, one in curve.all_of_k.items()} == {1: 0.5}
    assert list(curve.undefined) == [2]


def test_a_k_above_the_trials_asked_for_is_not_told():
    assert list(pass_curve(trials(2, 4), asked=2).all_of_k) == [1, 2]


def test_where_tasks_do_not_differ_the_shown_interval_alone_says_something():
    estimate = pass_curve(trials(0, 0, 0), asked=1).all_of_k[1]
    assert (estimate.value, estimate.bootstrap, estimate.analytic) == (0.0, None, None)
    # 1 of 5 tasks: 0.2 and a standard error of sqrt(0.8 / 4 / 5) = 0.2.
    assert (estimate.interval.low, estimate.interval.high) == (0.0, pytest.approx(0.2 + 1.959964 * 0.2))


@pytest.mark.parametrize("outcomes", [{}, {"tau2/0": []}])
def test_without_a_scored_trial_there_is_nothing_to_tell(outcomes):
    with pytest.raises(InvalidValueError, match="scored trial"):
        pass_curve(outcomes, asked=1)
