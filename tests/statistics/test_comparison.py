"""Two validations side by side: numbers, and the words on the screen."""

import pytest

from tau_retail_env.statistics.comparison import METHOD, TASKS_METHOD, compare, in_words, success_of
from tests.plain_trajectory import plain_trajectory


def episode(number, success, *, scorable=True, tag="retail"):
    return plain_trajectory(task_id=f"tau2/{number}", tag=tag, reward=float(success), scorable=scorable)


def trials(successes, of=4):
    """Each task as often as asked, of which so many succeed."""
    return [episode(number, trial < count) for number, count in enumerate(successes) for trial in range(of)]


def words(comparison, after):
    return in_words({"after": success_of(after)} | comparison)


def test_single_episodes_are_compared_pair_by_pair():
    before, after = trials([0] * 8 + [1] * 2, of=1), trials([1] * 8 + [0] * 2, of=1)
    compared = compare(before, after)
    assert compared["difference"].keys() == {"success", "interval", "episodes", "asked", "method"}
    assert compared["difference"]["method"] == METHOD
    assert words(compared, after) == [
        "success before 20.0%, after 80.0% on the same 10 held-out episodes (same tasks, same seeds)",
        "difference +60.0 points, 95 % interval of the paired difference (Newcombe 1998, method 10): "
        "-2.0 to +88.7 points",
    ]


def test_trials_are_compared_task_by_task():
    # Differences 0.5, 0.25, 0, 0.25, as in the test of mean_difference_interval.
    before, after = trials([0, 1, 4, 2]), trials([2, 2, 4, 3])
    compared = compare(before, after)
    assert compared["difference"] == {
        "success": 0.25,
        "interval": [pytest.approx(0.049962, abs=1e-6), pytest.approx(0.450038, abs=1e-6)],
        "tasks": 4,
        "asked": 4,
        "trials": [4, 4],
        "method": TASKS_METHOD,
    }
    assert words(compared, after) == [
        "success before 43.8%, after 68.8% on the same 4 held-out tasks, 4 trials each (same seeds)",
        "difference +25.0 points, 95 % interval of the paired difference over tasks "
        "(Miller 2024, arXiv:2411.00640): +5.0 to +45.0 points",
    ]


def test_more_trials_that_say_the_same_do_not_narrow_the_interval():
    few = compare(trials([0, 1, 2, 1], of=2), trials([1, 2, 2, 1], of=2))["difference"]
    many = compare(trials([0, 8, 16, 8], of=16), trials([8, 16, 16, 8], of=16))["difference"]
    assert many["interval"] == few["interval"]


def test_a_trial_that_could_not_be_scored_is_no_trial():
    spoilt = [episode(number, True, scorable=False) for number in range(3)]
    before, after = trials([0, 1, 1], of=3), [*trials([1, 3], of=3), *spoilt]
    compared = compare([*before, *spoilt], after)
    assert compared["difference"]["success"] == pytest.approx((1 / 3 + 2 / 3) / 2)
    assert "on the same 2 of 3 held-out tasks, 3 trials each" in words(compared, after)[0]
    compared = compare(before, [*after, episode(2, True)])
    assert "on the same 3 held-out tasks, 1 to 3 trials each" in words(compared, after)[0]


def test_the_same_task_under_two_tags_is_two_tasks():
    before = [episode(0, False), episode(0, True, tag="other")]
    after = [episode(0, True), episode(0, False, tag="other")]
    assert compare(before, after)["difference"]["episodes"] == 2
    assert compare(before * 2, after * 2)["difference"]["tasks"] == 2


def test_tasks_that_all_changed_alike_have_no_interval():
    before, after = trials([0] * 5), trials([0] * 5)
    compared = compare(before, after)
    assert "interval" not in compared["difference"]
    assert words(compared, after)[1] == (
        "difference +0.0 points, no interval: it needs tasks that changed by different amounts"
    )


def test_where_no_task_was_scored_twice_there_is_no_difference():
    after = trials([1])
    assert compare([episode(0, True, scorable=False)], after).keys() == {"before"}
