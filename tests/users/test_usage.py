"""The numbers of calls add up, and say so where they are unknown."""

from __future__ import annotations

import math

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tau_retail_env.users.usage import Usage, latencies, total_cost_usd, user_metrics


def test_numbers_add_up():
    total = Usage(1.5, 10, 5, 0.25, 1, 0, 2, 0) + Usage(0.5, 1, 1, 0.5, 1, 1, 0, 1)
    assert total == Usage(2.0, 11, 6, 0.75, 2, 1, 2, 1)


def test_an_unknown_cost_makes_the_sum_unknown_and_is_left_out():
    total = Usage(calls=1) + Usage(cost_usd=1.0, calls=1)
    assert total.cost_usd is None
    assert "cost_usd" not in total.as_mapping()
    assert Usage(cost_usd=1.0).as_mapping()["cost_usd"] == 1.0


def test_what_got_no_reply_leaves_the_cost_as_it_was():
    assert (Usage(failures=1) + Usage(cost_usd=1.0, calls=1) + Usage()).cost_usd == 1.0
    assert "cost_usd" not in (Usage(failures=1) + Usage()).as_mapping()


def test_a_cost_that_is_not_known_of_one_reply_is_not_known_of_the_episode():
    known = {"calls": 1, "cost_usd": 0.25}
    assert user_metrics([known, known])["customer_cost_usd"] == 0.5
    assert user_metrics([known, {"calls": 0, "cost_usd": 0.0}])["customer_cost_usd"] == 0.25
    assert "customer_cost_usd" not in user_metrics([known, {"calls": 1}])


def test_a_vain_attempt_without_a_price_leaves_the_cost_of_the_replies():
    paid, vain = {"calls": 1, "cost_usd": 0.5}, {"calls": 0, "failures": 1}
    assert total_cost_usd(map(Usage.read, [paid, vain])) == user_metrics([paid, vain])["customer_cost_usd"] == 0.5
    assert total_cost_usd(map(Usage.read, [vain])) is total_cost_usd([]) is None


def test_numbers_by_name_give_the_same_usage_again():
    usage = Usage(1.5, 10, 5, 0.25, 1, 0, 2, 0)
    assert Usage.read({**usage.as_mapping(), "unapproved": 1.0}) == usage


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30))
def test_latencies_are_numpys_percentiles(values):
    expected = {f"latency_p{percent}_s": numpy.percentile(values, percent) for percent in (50, 95)}
    assert latencies(values) == pytest.approx(expected)


def test_of_nothing_there_is_no_latency():
    assert all(math.isnan(value) for value in latencies([]).values())


def test_latencies_are_named_for_reports():
    assert latencies([3.0, 1.0, 2.0]) == {"latency_p50_s": 2.0, "latency_p95_s": pytest.approx(2.9)}
