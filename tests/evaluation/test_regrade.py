"""Episodes of one task version judged by another's tasks: each gold fails where the two differ."""

from __future__ import annotations

import pytest

from tau_retail_env.errors import MissingDependencyError
from tau_retail_env.evaluation.audit import audit
from tau_retail_env.evaluation.regrade import as_markdown, regraded
from tau_retail_env.sources import load_tasks
from tau_retail_env.tasks import Task

DIFFERING, SAME, ASSERTED = "tau2/18", "tau2/19", "tau2/106"


def tasks_of(version: str, *ids: str) -> list[Task]:
    try:
        return [task for task in load_tasks("tau2", "base", task_version=version) if task.id in ids]
    except MissingDependencyError as error:
        pytest.skip(f"needs τ² {version}: {error}")


def test_an_episode_earns_what_it_earned_when_judged_by_its_own_version() -> None:
    for version in ("0.2", "1.0"):
        tasks = tasks_of(version, DIFFERING, SAME, ASSERTED)
        found = audit(tasks)
        assert regraded(found, tasks) == found.rates


def test_the_oracle_of_one_version_fails_where_the_others_gold_differs() -> None:
    old, new = tasks_of("0.2", DIFFERING, SAME), tasks_of("1.0", DIFFERING, SAME)
    found = audit(old)
    assert found.rates["oracle"].official == 1.0
    assert regraded(found, new)["oracle"].official == 0.5
    assert regraded(audit(new), old)["oracle"].official == 0.5


def test_the_table_has_a_row_for_each_agent_and_version_and_a_column_for_each_judge() -> None:
    versions = {"0.2": tasks_of("0.2", DIFFERING), "1.0": tasks_of("1.0", DIFFERING)}
    table = as_markdown([audit(tasks) for tasks in versions.values()], versions)
    assert "| oracle | 0.2 | 100.0% | 0.0% |" in table
    assert "| oracle | 1.0 | 0.0% | 100.0% |" in table
