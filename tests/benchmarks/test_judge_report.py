"""The report on the judge of assertions: enough conversations of each kind, and which of them are judged otherwise."""

from __future__ import annotations

import hashlib
from collections import Counter

import pytest

from benchmarks.judge_cases import FOLDER, Case, spelled
from benchmarks.judge_report import (
    SETS,
    WRITTEN,
    all_cases,
    cases_of_results,
    confusion,
    judged_by_rules,
    row_of_written,
)
from tau_retail_env.errors import InvalidValueError, MissingDependencyError
from tau_retail_env.sources.tau2 import editions

AS_COMMITTED = {
    "final": "6fcecfdc2aeb3de764f3ef075821f2020c413fcf6a120477acb7c19612f42c26",
    "held_out": "662f3f70c27abdc1bf279ebe52684564d1b276f33c904a5eeef8ca4a853abdc5",
    "written_out": "a904119ab7f43b1b74c744e5a02e7c27d477c49761de8a918674fa39f1c567ae",
    "later_written": "820a7bf11e1904ee86ecaf8d35eae51e55a52b8fc69213a09374bb982a1792b3",
    "plain_later": "af4105d6dc239d4e712c485403d5d2352019554c3a2cfe0657ed23fac04ea0f3",
    "plain_written": "2813d59d686becd24d2f7af463051450504c5f45d8145368de12f5b23498b057",
    "last_written": "66265a30bcc35b0ebfb40bd521f003b0551716ab83326f045bf77ec5da5f3d45",
}
"""SHA-256 of the sets as they were committed before the rules were run on them."""


@pytest.fixture(scope="module")
def final() -> list[Case]:
    """The final set; without τ² 1.0, from whose tasks a part is made, the test skips."""
    try:
        editions.edition_of("1.0")
    except (MissingDependencyError, InvalidValueError) as error:
        pytest.skip(f"needs τ² 1.0: {error}")
    return all_cases("final")


def test_every_kind_has_at_least_two_hundred_conversations_of_both_sorts(final):
    counts = Counter((case.kind, case.holds) for case in final)
    kinds = {kind for kind, _ in counts}
    assert len(kinds) == 7
    assert all(counts[kind, True] + counts[kind, False] >= 200 for kind in kinds)
    assert all(counts[kind, holds] >= 80 for kind in kinds for holds in (True, False))


@pytest.mark.parametrize("name", AS_COMMITTED)
def test_a_set_that_measures_the_rules_is_as_it_was_before_they_were_run_on_it(name):
    assert hashlib.sha256((FOLDER / f"{name}.toml").read_bytes()).hexdigest() == AS_COMMITTED[name]


@pytest.mark.parametrize("name", WRITTEN)
def test_the_page_tells_of_the_conversations_written_out_what_today_s_rules_say(name, repository):
    assert row_of_written(name) in (repository / "docs" / "judge.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", WRITTEN)
def test_of_what_agents_say_by_nature_nearly_all_is_judged_as_a_reader_does(name):
    natural = [case for case in all_cases(name) if case.way == "natural"]
    right = sum(case.holds == said for case, said in zip(natural, judged_by_rules(natural), strict=True))
    assert right / len(natural) >= 0.98


@pytest.mark.parametrize("name", SETS)
def test_today_s_rules_agree_with_the_reader_on_every_way_that_they_have_seen(final, name):
    cases = all_cases(name)
    wrong = {
        (case.kind, case.way) for case, said in zip(cases, judged_by_rules(cases), strict=True) if said != case.holds
    }
    assert wrong == set()


def test_verdicts_of_a_results_file_are_compared_with_the_rules():
    text = "Agent should tell the user their gift card balance is $60."
    said = [{"role": "assistant", "content": "Your gift card balance is $60."}]
    deed = {"nl_assertion": "Agent should process the exchange.", "met": True}
    checks = [{"nl_assertion": text, "met": True}, deed]
    simulations = [{"task_id": "40", "messages": said, "reward_info": {"nl_assertions": checks}}]
    cases = list(cases_of_results({"simulations": [*simulations, {"task_id": "1", "messages": said}]}))
    assert [(case.kind, case.holds) for case in cases] == [("amount", True)]
    assert judged_by_rules(cases) == [True]


def test_the_table_adds_up(final):
    table = confusion(final[:4], [True, True, False, False])
    *_, last = table.splitlines()
    assert last == "| **all** | 4 | 2 | 2 | 0 | 0 | 50.0% |"


@pytest.mark.parametrize(("number", "words"), [(7, "seven"), (21, "twenty-one"), (918, "nine hundred eighteen")])
def test_numbers_are_spelled(number, words):
    assert spelled(number) == words
