"""How long a run will take is told before it begins."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("trl", reason="the local engine is not installed: pip install '.[train]'")

import torch

from tau_retail_env.config import compose
from tau_retail_env.local.config import check_local
from tau_retail_env.local.duration import estimate
from tau_retail_env.models.loading import load_weights
from tau_retail_env.runs.progress import busy

SPINNING = "while True: pass"


@pytest.fixture
def others():
    """Four other processes that compute all the time."""
    processes = [subprocess.Popen([sys.executable, "-c", SPINNING]) for _ in range(4)]
    yield
    for process in processes:
        process.kill()
        process.wait()


@pytest.fixture
def two_threads():
    """Two threads for torch, which on a busy machine wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    assert torch.get_num_threads() == 2, "the estimate leaves as many threads as it found"
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads", "others")
def test_other_work_on_the_machine_makes_the_estimate_little_longer(repository):
    """The recorded run took nine and a half minutes on two idle cores; a wall clock told hours on busy ones."""
    config = check_local(compose("tau_retail_local"))
    part = estimate(load_weights(str(repository / "checkpoints/small")), config)
    assert part.step_s == pytest.approx(25, rel=0.8)
    assert part.validation_s == pytest.approx(30, rel=0.8)


def test_a_busy_machine_is_called_so(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1})
    monkeypatch.setattr(os, "getloadavg", lambda: (13.7, 9.0, 4.0))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert busy() == " (this one is busy: load 14 on 2 cores)"
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert busy() == " (this one is busy: load 14 on 2 cores; OMP_NUM_THREADS=1 helps)"
    monkeypatch.setattr(os, "getloadavg", lambda: (1.0, 9.0, 4.0))
    assert busy() == "", "a core is free"
