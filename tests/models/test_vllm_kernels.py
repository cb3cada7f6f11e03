"""Where compiled kernels are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from tau_retail_env.models.vllm_kernels import kept_kernels


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({}, "/home/me/.cache/vllm/triton"),
        ({"XDG_CACHE_HOME": "/scratch"}, "/scratch/vllm/triton"),
        ({"XDG_CACHE_HOME": "/scratch", "VLLM_CACHE_ROOT": "~/of/vllm"}, "/home/me/of/vllm/triton"),
    ],
)
def test_kernels_are_kept_beside_what_else_vllm_keeps(monkeypatch, variables, folder):
    monkeypatch.setenv("HOME", "/home/me")
    for name in ("XDG_CACHE_HOME", "VLLM_CACHE_ROOT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert kept_kernels() == {"TRITON_CACHE_DIR": str(Path(folder))}
