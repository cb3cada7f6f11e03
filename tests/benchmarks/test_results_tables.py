"""The tables of results: what the pages show is what the recorded runs hold."""

from __future__ import annotations

import json
import re

import pytest

from benchmarks import results_tables
from benchmarks.results_stages import BEFORE, GENERATED, STAGES
from benchmarks.results_tables import PAGES, RUNS, evaluations, figures, figures_of_successes, validations, with_tables


@pytest.mark.parametrize("page", PAGES)
def test_the_pages_tables_are_what_the_script_prints(page, repository):
    text = (repository / page).read_text(encoding="utf-8")
    assert with_tables(text, page) == text


def test_what_no_file_holds_stands_on_the_runs_own_page():
    for stage in STAGES:
        page = (RUNS / stage.run / "README.md").read_text(encoding="utf-8")
        if "among the 114" in stage.told:  # the run after it says it, too
            page += (RUNS / "smol_steps" / "README.md").read_text(encoding="utf-8")
        for column, cell in stage.told.items():
            for number in re.findall(r"[\d.]+", cell):
                assert re.search(rf"(?<![\d.]){re.escape(number)}(?!\d|\.\d)", page), (stage.name, column, number)


def test_every_run_that_played_test_tasks_is_counted():
    played = {run.name for run in RUNS.iterdir() if [*evaluations(run), *validations(run)]}
    assert played <= set(BEFORE)
    assert all((RUNS / run / "README.md").is_file() for run in BEFORE)


def test_an_evaluation_that_was_ended_early_says_how_much_of_it_was_played():
    found = {"source": "tau2", "split": "base", "tasks": 114, "trials": 8}
    cut = {"episodes": {"asked": 912, "scored": 666, "not_played": 246}}
    assert results_tables._play(found | cut) == "τ² `base` 114 × 8, of which 666 of 912 episodes"
    whole = {"episodes": {"asked": 912, "scored": 912, "not_played": 0}}
    assert results_tables._play(found | whole) == "τ² `base` 114 × 8"


def test_every_stage_leads_to_a_run_and_files_that_are_there():
    for stage in STAGES:
        assert stage.run in BEFORE
        assert all((RUNS / source.partition("#")[0]).is_file() for source in stage.files.values()), stage.name


def test_a_columns_floor_is_what_doing_nothing_earned_in_its_files():
    for stage in STAGES:
        for name, head in GENERATED.items():
            floor = (figures(stage.files.get(name)) or {}).get("floor")
            assert floor is None or re.search(rf"[( ]{100 * floor:.1f}\)$", head), (stage.name, head, floor)


def test_tasks_whose_successes_are_known_can_be_told_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(results_tables, "RUNS", tmp_path)
    (tmp_path / "successes.json").write_text(json.dumps({"v1": {"a": "11", "b": "10", "c": "00"}}))
    assert figures_of_successes("successes.json#v1")["pass^1"]["value"] == 0.5
    without_c = figures_of_successes("successes.json#v1", lambda task: task != "c")
    assert (without_c["tasks"], without_c["pass^1"]["value"], without_c["pass^2"]["value"]) == (2, 0.75, 0.5)


def test_a_page_without_a_place_for_a_table_is_refused():
    with pytest.raises(SystemExit, match="no place for the table short"):
        with_tables("# A page\n", "README.md")


def test_no_page_is_written_where_one_has_no_place(tmp_path, monkeypatch):
    monkeypatch.setattr(results_tables, "REPOSITORY", tmp_path)
    monkeypatch.setattr(results_tables, "PAGES", {name: {"t": lambda: [["a"]]} for name in ("one.md", "two.md")})
    monkeypatch.setattr("sys.argv", ["results_tables.py", "--write"])
    place = "<!-- table t -->\nold\n<!-- end -->"
    (tmp_path / "one.md").write_text(place)
    (tmp_path / "two.md").write_text("# A page\n")
    with pytest.raises(SystemExit, match=r"two\.md: no place for the table t"):
        results_tables.main()
    assert (tmp_path / "one.md").read_text() == place
    (tmp_path / "two.md").write_text(place)
    results_tables.main()
    assert all("| a |\n| --- |" in (tmp_path / name).read_text() for name in ("one.md", "two.md"))
