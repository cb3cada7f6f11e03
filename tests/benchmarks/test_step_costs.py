"""The shipped costs of a step are those of the recorded runs, every one of which is read."""

import shutil

import pytest

from benchmarks.step_costs import fit, measured_alone, recorded, rows_of
from tau_retail_env.roll.config.step_costs import table


@pytest.fixture(scope="module")
def runs():
    return recorded()


def test_the_shipped_costs_are_those_of_the_recorded_runs(runs):
    """After a new recorded run: python benchmarks/step_costs.py --write"""
    shipped = table()
    for part, costs in fit([*measured_alone(), *runs.values()]).items():
        assert shipped["costs"][part] == pytest.approx(costs, rel=1e-3, abs=1e-6), part
    assert shipped["unseen"]["runs"] == len(runs)


def test_the_docs_say_how_far_it_is_off(repository):
    assert f"{table()['unseen']['error'] * 100:.0f} % on average" in (repository / "docs/roll.md").read_text()


def test_a_recorded_run_counts_with_its_engines_its_longest_episode_and_what_it_learnt_from(runs):
    assert {"roll_groups", "roll_partial", "roll_shorter", "smol_chain"} <= runs.keys()
    for row in runs["roll_shorter"]:
        assert (row.step.engines, row.step.episode.longest, row.planned.episode.longest) == (2, 3500, 3500)
        assert row.step.learnt in (128, 160) and row.planned.learnt == 160
    assert {row.step.learnt for row in runs["roll_groups"]} == {256}


def test_a_new_run_is_a_folder_with_its_configuration_and_metrics(repository, tmp_path, runs):
    for name in ("config.yaml", "metrics.jsonl"):
        shutil.copy(repository / "docs/runs/roll_shorter" / name, tmp_path)
    assert rows_of(tmp_path) == runs["roll_shorter"]
