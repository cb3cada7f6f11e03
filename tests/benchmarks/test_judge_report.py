"""The report on the judge of assertions: enough conversations of each kind, and nothing right denied."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.judge_report import NEW, Case, all_cases, confusion, spelled
from tau_retail_env.errors import InvalidValueError, MissingDependencyError
from tau_retail_env.sources.tau2 import editions
from tau_retail_env.world.assertions import RulesJudge


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    """All conversations; without τ² 1.0, whose assertions they are made from, the test skips."""
    try:
        editions.edition_of("1.0")
    except (MissingDependencyError, InvalidValueError) as error:
        pytest.skip(f"needs τ² 1.0: {error}")
    return list(all_cases())


def test_every_kind_has_at_least_two_hundred_conversations_of_both_sorts(cases):
    counts = Counter((case.kind, case.holds) for case in cases if not case.way.startswith(NEW))
    kinds = {kind for kind, _ in counts}
    assert len(kinds) == 7
    assert all(counts[kind, True] + counts[kind, False] >= 200 for kind in kinds)
    assert all(counts[kind, holds] >= 80 for kind in kinds for holds in (True, False))


def test_nothing_that_holds_is_denied(cases):
    denied = {(case.kind, case.way) for case in cases if case.holds and RulesJudge().unmet(case.task, case.evidence)}
    assert denied == set()


def test_what_does_not_hold_is_taken_for_true_in_the_listed_ways_only(cases):
    taken = {
        (case.kind, case.way)
        for case in cases
        if not case.holds and not case.way.startswith(NEW) and not RulesJudge().unmet(case.task, case.evidence)
    }
    assert taken == {("a word", "of something else")}


def test_the_table_adds_up(cases):
    table = confusion(cases[:4], [True, True, False, False])
    *_, last = table.splitlines()
    assert last == "| **all** | 4 | 2 | 2 | 0 | 0 | 50.0% |"


@pytest.mark.parametrize(("number", "words"), [(7, "seven"), (21, "twenty-one"), (918, "nine hundred eighteen")])
def test_numbers_are_spelled(number, words):
    assert spelled(number) == words
