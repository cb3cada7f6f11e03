"""README's table of agents, from the folders of evaluations."""

import json

import pytest

from benchmarks.agents_table import MISSING, as_table, main, read
from tau_retail_env.evaluation.outcome import figures
from tests.evaluation.evaluations import TASKS, evaluate, settings_of


def evaluated(folder, agent, **changes):
    standing = evaluate(folder, agent=agent, **changes)
    results = figures(settings_of(agent=agent, **changes), standing.episodes, standing.spent, TASKS)
    (folder / "results.json").write_text(json.dumps(results))
    return folder


def test_a_row_is_an_agent_and_a_column_a_set_of_tasks(tmp_path):
    always = read(evaluated(tmp_path / "oracle.tau2", "oracle"))
    half = {**always, "source": "generated", "split": "test2", "floor": 0.0}
    half["pass^1"] = {"value": 0.5, "interval": [0.25, 0.75], "tasks": 4}
    half["pass^2"] = {"value": 0.0, "miller": None, "tasks": 4}
    heads, _, oracle, other = as_table([("small", half), ("oracle", always)]).splitlines()[:4]
    assert heads == "| agent | τ² 0.2 `test`, 4 tasks, floor 0.0 | generated `test2`, 4 tasks, floor 0.0 |"
    assert oracle == f"| small | {MISSING} | ^1: 50.0 (25.0 to 75.0)<br>^2: 0.0 (0.0 to 49.3) |"
    assert other == f"| oracle | 100.0 (50.7 to 100.0) | {MISSING} |"


def test_v1s_test_is_said_to_hold_train_tasks_of_tau2(tmp_path):
    found = {**read(evaluated(tmp_path / "silent", "silent")), "source": "tau_bench", "split": "test", "tasks": 115}
    assert "115 tasks, of which 74 are τ²'s train tasks in v1's wording, floor" in as_table([("silent", found)])


def test_evaluations_of_an_agent_in_folders_of_any_name_are_one_row(tmp_path, capsys, monkeypatch):
    folders = [evaluated(tmp_path / "a", "silent"), evaluated(tmp_path / "silent-tau2-test-9d3a52c9", "silent")]
    named = evaluated(tmp_path / "quiet.tau2", "silent")
    monkeypatch.setattr("sys.argv", ["agents_table.py", *map(str, folders), str(named)])
    main()
    assert [row.split(" | ")[0] for row in capsys.readouterr().out.splitlines()[2:]] == ["| silent", "| quiet"]


def test_an_evaluation_that_is_not_whole_stands_in_no_table(tmp_path):
    folder = evaluated(tmp_path / "silent.tau2", "silent")
    results = json.loads((folder / "results.json").read_text())
    results["episodes"]["scored"] -= 1
    (folder / "results.json").write_text(json.dumps(results))
    with pytest.raises(SystemExit, match="7 of 8 episodes are scored"):
        read(folder)
