"""Upstream's own code, run from its checkouts by an interpreter that has its packages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.evaluation.evaluations import evaluate

PYTHON = os.environ.get("UPSTREAM_PYTHON", sys.executable)
"""An interpreter with litellm and the other packages that upstream imports."""


def run_upstream(checkout: Path, sources: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run upstream's Python with its code first on the path."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(sources),
        "TAU2_DATA_DIR": str(checkout / "data"),
        "COLUMNS": "200",
        "OPENAI_API_KEY": "none",
    }
    return subprocess.run(
        [PYTHON, *arguments], env=environment, cwd=checkout, capture_output=True, text=True, timeout=600, check=False
    )


def _checkout(variable: str, inside: str) -> Path:
    if not os.environ.get(variable):
        pytest.skip(f"needs {variable}, a checkout of upstream's")
    path = Path(os.environ[variable]).resolve()
    if not (path / inside).exists():
        pytest.skip(f"{variable} names no checkout: {path / inside} is missing")
    return path


@pytest.fixture(scope="session")
def tau2_bench() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs τ²-bench 1.0's own code."""
    checkout = _checkout("TAU2_BENCH_PATH", "src/tau2")
    probe = run_upstream(checkout, checkout / "src", "-c", "import tau2.scripts.evaluate_trajectories")
    if probe.returncode:
        pytest.skip(f"needs UPSTREAM_PYTHON with τ²'s packages: {probe.stderr.strip().splitlines()[-1]}")
    return lambda *arguments: run_upstream(checkout, checkout / "src", *arguments)


@pytest.fixture(scope="session")
def tau2_bench_tasks() -> Path:
    """The retail tasks of τ²-bench 1.0."""
    return _checkout("TAU2_BENCH_PATH", "data/tau2/domains/retail/tasks.json") / "data/tau2/domains/retail/tasks.json"


@pytest.fixture(scope="session")
def tau_bench_code() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs τ-bench v1's own code."""
    checkout = _checkout("TAU_BENCH_PATH", "tau_bench")
    probe = run_upstream(checkout, checkout, "-c", "import tau_bench.run")
    if probe.returncode:
        pytest.skip(f"needs UPSTREAM_PYTHON with τ-bench's packages: {probe.stderr.strip().splitlines()[-1]}")
    return lambda *arguments: run_upstream(checkout, checkout, *arguments)


@pytest.fixture(scope="session")
def published_airline() -> Path:
    """Upstream's published run of gpt-4o in the domain airline."""
    inside = "historical_trajectories/gpt-4o-airline.json"
    return _checkout("TAU_BENCH_PATH", inside) / inside


@pytest.fixture(scope="session")
def few_shot() -> Path:
    """The folder of upstream's few-shot examples."""
    return _checkout("TAU_BENCH_PATH", "few_shot_data") / "few_shot_data"


@pytest.fixture
def evaluation(tmp_path: Path) -> Callable[..., Path]:
    """Plays an evaluation and returns its folder."""

    def play(**options: Any) -> Path:
        folder = tmp_path / "evaluation"
        assert evaluate(folder, **options).ended_by is None
        return folder

    return play


def last_line(result: subprocess.CompletedProcess[str]) -> Any:
    """The JSON of the last line that a program printed."""
    assert result.returncode == 0, result.stderr[-3000:]
    return json.loads(result.stdout.strip().splitlines()[-1])
