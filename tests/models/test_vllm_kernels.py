"""Where compiled kernels are kept, and the sampler's, compiled before an engine looks for it."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
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


LAUNCH = """
import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime.driver import driver
from triton.runtime.jit import MockTensor
from vllm.v1.sample.ops import topk_topp_triton as sampler

from tau_retail_env.models.vllm_kernels import compile_sampler_for

VOCABULARY = 49152
ahead = [compile_sampler_for(90, VOCABULARY, rows) for rows in (512, 300)]


class H200:
    def get_current_target(self):
        return GPUTarget("cuda", 90, 32)

    def get_current_device(self):
        return 0

    def get_current_stream(self, device):
        return 0


class Kernel:
    def __getitem__(self, grid):
        return lambda *args, **kwargs: found.append(kernel.warmup(*map(mock, args), grid=grid, **kwargs))


def mock(argument):
    return MockTensor(argument.dtype) if isinstance(argument, torch.Tensor) else argument


found, kernel = [], sampler._topk_topp_kernel
driver.set_active(H200())
sampler._topk_topp_kernel, sampler.num_compute_units = Kernel(), lambda device: 132
for rows in (512, 300):  # as many as vLLM is told to write at once; its kernel differs where 16 divides the number
    top_k, top_p = torch.full((rows,), VOCABULARY - 1), torch.full((rows,), 0.9)
    sampler.apply_top_k_top_p_triton(torch.zeros(rows, VOCABULARY), top_k, top_p)
assert [one.hash for one in found] == [one.hash for one in ahead]
"""


@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("vllm", "triton"))), reason="needs vLLM, its CPU build is enough, and Triton"
)
def test_a_launch_of_vllms_sampler_finds_the_kernel_that_was_compiled_before(tmp_path):
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "TRITON_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", LAUNCH]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
