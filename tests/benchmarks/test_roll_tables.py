"""The tables of docs/roll.md that benchmarks make from recorded runs."""

from __future__ import annotations

import pytest

from benchmarks import roll_goals, roll_memory


@pytest.mark.parametrize("made", [roll_goals.table, roll_memory.table])
def test_the_page_has_the_table_that_the_recorded_runs_give(made, repository):
    page = (repository / "docs" / "roll.md").read_text(encoding="utf-8")
    assert "\n".join(made()) in page


def test_a_goal_is_reached_where_what_is_now_says_so():
    reached = {row.what: row.is_reached for row in (*roll_goals.processors(), *roll_goals.starts())}
    assert reached == {
        "environment, chat and env manager, of the processors' time": False,
        "start to the first rollout, one H200": False,
        "the same, four H200s": False,
    }


def test_a_start_is_from_the_command_to_all_roles_up():
    assert roll_goals.started("roll_gain") == [23 + 99, 20 + 87]
    assert roll_goals.started("roll_third_seed") == [22 + 71]


def test_memory_of_a_recorded_run_is_foreseen_from_its_own_configuration():
    four = next(row for row in roll_memory.recorded() if "roll_four_gpus" in row.where)
    one = next(row for row in roll_memory.recorded() if "roll_groups" in row.where)
    assert four.peak == pytest.approx(19.5, abs=0.05) and one.peak == pytest.approx(21.2, abs=0.05)
    assert four.foreseen < one.foreseen
