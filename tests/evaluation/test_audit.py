"""The audit finds what is known to be wrong, for every version that is here, and docs/audit.md is what it makes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tau_retail_env.cli import main
from tau_retail_env.errors import MissingDependencyError
from tau_retail_env.evaluation.audit import AGENTS, FINDINGS, Audit, as_json, as_markdown, as_text, audit
from tau_retail_env.evaluation.outcome import floor
from tau_retail_env.sources import load_tasks
from tau_retail_env.sources.tau2.editions import DIGESTS

BY_DATABASE = "10 12 24 25 50 57 62 65 67 68 105".split()


@pytest.fixture(scope="module", params=DIGESTS)
def found(request: pytest.FixtureRequest) -> Audit:
    """The audit of a version that is here; without it the test skips."""
    try:
        return audit(load_tasks("tau2", "base", task_version=request.param))
    except MissingDependencyError as error:
        pytest.skip(f"needs τ² {request.param}: {error}")


def numbers(found: Audit, kind: str) -> list[str]:
    return list(found.findings[kind])


def test_the_tool_that_writes_the_last_variant_is_found_in_five_tasks(found: Audit) -> None:
    corrupted = "20 21 36 37 100".split()
    assert numbers(found, "corrupts") == numbers(found, "order_of_items") == corrupted
    assert numbers(found, "order_of_items_corrected") == []
    assert numbers(found, "order_of_writes") == ["22"]


def test_refused_gold_calls_are_found(found: Audit) -> None:
    of_version = {"0.2": ["12", "13"], "1.0": [], "verified": ["18", "91"]}[found.task_version or ""]
    assert numbers(found, "refused_writes") == sorted([*of_version, "64", "105"], key=int)
    assert {"2", "3", "4", "35", "46", "67"} <= set(numbers(found, "refused_reads"))


def test_gold_that_breaks_the_domain_policy_is_found(found: Audit) -> None:
    expected = ["12", "13", "18", "91", "107"] if found.task_version == "0.2" else []
    assert numbers(found, "breaks_policy") == expected


def test_what_doing_nothing_earns_is_found(found: Audit) -> None:
    outright = {"0.2": "10 12 25 50 57 65 105", "1.0": "10 12 25 50 57 65", "verified": "10 12 18 25 50 57 65 105"}
    added = ["18"] if found.task_version == "verified" else []
    assert numbers(found, "nothing_by_database") == sorted([*BY_DATABASE, *added], key=int)
    assert numbers(found, "nothing_outright") == outright[found.task_version or ""].split()
    assert numbers(found, "transfer_outright") == numbers(found, "nothing_outright")
    assert set(numbers(found, "reciting_outright")) <= set(numbers(found, "nothing_by_database"))
    assert len(numbers(found, "reciting_outright")) > len(numbers(found, "nothing_outright"))


def test_every_success_has_its_floor_beside_it(found: Audit) -> None:
    assert list(found.rates) == list(AGENTS)
    assert found.rates["oracle"].official == found.rates["oracle"].process == 1.0
    assert found.rates["silent"].official == len(numbers(found, "nothing_outright")) / 114
    assert found.rates["silent"].official == floor(load_tasks("tau2", "base", task_version=found.task_version))
    mute = found.rates["mute"]
    assert mute.official > 0.6
    assert mute.process == len(numbers(found, "nothing_by_database")) / 114


def test_the_page_is_what_the_audit_makes(found: Audit, repository: Path) -> None:
    assert as_markdown(found) in (repository / "docs" / "audit.md").read_text(encoding="utf-8")


def test_the_same_is_told_as_text_and_as_json(found: Audit) -> None:
    told = json.loads(json.dumps(as_json(found)))
    assert told["findings"]["corrupts"] == ["20", "21", "36", "37", "100"]
    assert told["rates"]["oracle"]["official"] == 1.0
    assert list(told["findings"]) == list(FINDINGS)
    assert all(words in as_text(found) for words in FINDINGS.values())
    assert "|---" not in as_text(found)


def test_the_command_prints_json_for_each_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "--source", "generated", "--split", "test", "--limit", "3", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["source"], told["tasks"], told["findings"]["breaks_policy"]) == ("generated", 3, [])


def test_a_source_without_a_base_is_audited_on_its_test(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "--source", "generated", "--limit", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["split"] == "test"


def test_the_command_prints_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "--limit", "2", "--markdown"]) == 0
    assert capsys.readouterr().out.startswith("# Audit of the tasks\n")


def test_a_version_that_is_not_known_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "--task-version", "0.3"]) == 2
    assert "0.3" in capsys.readouterr().err
