"""One run's figures, by this package, τ²-bench and inspect_ai."""

import os
import subprocess
from pathlib import Path

import pytest

from benchmarks.same_run import as_table, played, played_again

OURS = {"rewards": {"a/0": 1.0, "a/1": 0.0}, "mean": 0.5, "pass^2": 0.0}


def test_figures_stand_side_by_side_and_other_rewards_are_counted():
    theirs = {"rewards": {"a/0": 1.0, "a/1": 1.0}, "tau2": {"mean": 1.0}, "inspect_ai": {"mean": 1.0, "pass^2": 1.0}}
    lines = as_table(OURS, theirs).splitlines()
    assert lines[0] == "2 episodes; the reward of 1 is the same when τ²-bench plays and judges them"
    assert lines[-2:] == ["| mean | 0.500000 | 1.000000 | 1.000000 |", "| pass^2 | 0.000000 | – | 1.000000 |"]


def test_upstreams_runner_and_inspect_ai_come_to_the_same_figures(tmp_path):
    python, checkout = os.environ.get("UPSTREAM_PYTHON"), os.environ.get("TAU2_BENCH_PATH")
    if not python or not checkout:
        pytest.skip("needs UPSTREAM_PYTHON and TAU2_BENCH_PATH")
    path = {**os.environ, "PYTHONPATH": str(Path(checkout) / "src")}
    words = [python, "-c", "import inspect_ai, tau2.runner.simulation"]
    if subprocess.run(words, env=path, capture_output=True, check=False).returncode:
        pytest.skip("needs UPSTREAM_PYTHON with inspect_ai and τ²'s packages")
    ours = played(tmp_path, "test", 2, 6)
    theirs = played_again(tmp_path / "results.json", python, Path(checkout))
    assert theirs["rewards"] == ours["rewards"]
    assert set(ours["rewards"].values()) == {0.0, 1.0}
    for system, names in (
        ("tau2", ("mean", "pass^1", "pass^2")),
        ("inspect_ai", ("mean", "stderr", "pass^1", "pass^2")),
    ):
        assert [theirs[system][name] for name in names] == pytest.approx([ours[name] for name in names])
