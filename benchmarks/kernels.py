"""What a GPU's time goes to while a model learns: kernels by kind, from PyTorch's profiler."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path

KINDS = {
    "attention": r"flash|fmha|sdpa|attention",
    "matrix products": r"gemm|nvjet|cutlass|xmma|cublas|matmul|splitk",
    "norms": r"norm",
    "optimizer": r"multi_tensor|adam",
    "exchange between GPUs": r"nccl",
    "copies": r"memcpy|memset|copy|cat_|cat(?=array)",
    "softmax and reductions": r"softmax|reduce|scan|sort",
    "pointwise": r"elementwise|pointwise|vectorized|triton_poi",
}
"""Kinds of kernels and what their names contain, in the order in which they are looked for."""
OTHERS = "others"


def kind_of(kernel: str) -> str:
    """The kind of a kernel.

    Args:
        kernel: its name.
    """
    found = (kind for kind, words in KINDS.items() if re.search(words, kernel, re.IGNORECASE))
    return next(found, OTHERS)


def by_kind(kernels: Iterable[tuple[str, float]], wall_s: float) -> dict[str, float]:
    """Seconds of each kind, and those in which the GPU had nothing to do.

    Args:
        kernels: name and seconds of each.
        wall_s: from before the first to after the last.
    """
    seconds: dict[str, float] = {}
    for name, one in kernels:
        kind = kind_of(name)
        seconds[kind] = seconds.get(kind, 0.0) + one
    told = {kind: seconds[kind] for kind in (*KINDS, OTHERS) if kind in seconds}
    return told | {"idle": max(wall_s - sum(told.values()), 0.0)}


def profile(work: Callable[[], object], trace: Path | None = None) -> dict[str, float]:
    """Run something under PyTorch's profiler.

    Args:
        work: ends when the GPU has ended.
        trace: where a trace for chrome://tracing or Perfetto goes, gzipped where the name ends so.

    Returns:
        Seconds by kind of kernel; on a CPU, of operations.
    """
    import torch
    from torch.profiler import ProfilerActivity

    on_gpu = torch.cuda.is_available()
    activities = [ProfilerActivity.CUDA, ProfilerActivity.CPU] if on_gpu else [ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities) as profiler:
        start = time.perf_counter()
        work()
        wall_s = time.perf_counter() - start
    if trace is not None:
        profiler.export_chrome_trace(str(trace))
    device = torch.autograd.DeviceType.CUDA
    kernels = [
        (one.key, (one.self_device_time_total if on_gpu else one.self_cpu_time_total) / 1e6)
        for one in profiler.key_averages()
        if not on_gpu or one.device_type == device
    ]
    return by_kind(kernels, wall_s)
