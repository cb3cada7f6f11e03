"""Loading a model: on how many cores torch computes."""

import os

import pytest

pytest.importorskip("torch", reason="torch is not installed")

import torch

from tau_retail_env.models.loading import use_free_cores


@pytest.mark.parametrize(
    ("load", "given", "expected"), [(0.2, None, 4), (2.6, None, 1), (30.0, None, 1), (0.2, "3", 2)]
)
def test_torch_computes_on_the_cores_that_are_free(monkeypatch, load, given, expected):
    before = torch.get_num_threads()
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if given is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    try:
        torch.set_num_threads(2)
        assert use_free_cores() == expected
    finally:
        torch.set_num_threads(before)
