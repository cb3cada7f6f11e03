"""Kernels that vLLM compiles while it starts."""

from __future__ import annotations

import os
from pathlib import Path


def kept_kernels() -> dict[str, str]:
    """The variable that has Triton keep its kernels in one folder, for all engines and starts on a machine.

    PyTorch otherwise sets it where it compiles a model, to a folder of that model's graph, and leaves it unset where it
    reads the graph back. So the kernel of vLLM's sampler, of 5 to 13 s, is compiled again for another configuration,
    another GPU, and at the first start that finds the graph. Triton names kernels by their content, and moves each
    file to its place whole: several processes may share the folder.

    Returns:
        Its value by its name, for where it is not set.
    """
    root = os.environ.get("VLLM_CACHE_ROOT") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "vllm")
    return {"TRITON_CACHE_DIR": str(Path(root).expanduser() / "triton")}
