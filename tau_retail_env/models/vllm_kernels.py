"""Kernels that vLLM compiles while it starts: kept for the next start, and the sampler's compiled beforehand."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

AT_ONCE = 128
"""vLLM's conversations of a step where nobody says how many; of the number only its divisibility matters."""
WARP = 32
"""Threads of a warp, on every GPU of NVIDIA's."""
SMALLEST_BATCH = 8
"""Conversations of a step from which on vLLM draws with the kernel."""
DIVISOR = 16
"""Triton compiles a kernel anew for addresses and numbers that this divides."""
POINTERS = {
    "LOGITS": "*fp32",
    "BUFFER": "*fp32",
    "PERCENTILE_TO_STD_TABLE": "*fp32",
    "NORMAL_CDF_TO_SIGMA_TABLE": "*fp32",
    "K": "*i32",
    "P": "*fp32",
}


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


def compile_sampler(vocabulary: int, at_once: int = AT_ONCE) -> None:
    """Compile the kernel of vLLM's sampler for this machine's GPU, which itself is not touched.

    vLLM compiles it in its first pass, after the model, for draws with a top-k and a top-p. Triton finds what was
    compiled here by its own key, of source, arguments and GPU. Where one of them differs, or vLLM has another sampler,
    it compiles its own as always. For processes that have imported vLLM.

    Args:
        vocabulary: tokens of the model's.
        at_once: most conversations of a step.
    """
    from vllm.platforms import current_platform

    if not current_platform.is_cuda() or at_once < SMALLEST_BATCH:
        return
    capability = current_platform.get_device_capability()
    if capability is not None:
        compile_sampler_for(capability.to_int(), vocabulary, at_once)


def compile_sampler_for(capability: int, vocabulary: int, at_once: int) -> Any:
    """Compile that kernel for a kind of GPU.

    Args:
        capability: of NVIDIA's, such as 90 for an H200.
        vocabulary: tokens of the model's.
        at_once: most conversations of a step.

    Returns:
        Triton's kernel.
    """
    import triton  # type: ignore[import-not-found,unused-ignore]
    from triton.backends.compiler import GPUTarget  # type: ignore[import-not-found,unused-ignore]
    from vllm.v1.sample.ops.topk_topp_triton import _topk_topp_kernel as kernel

    numbers = {"LOGITS_STRIDE_0": vocabulary, "BATCH_SIZE": at_once}
    constants = {
        "VOCAB_SIZE": vocabulary,
        "MASK_VALUE": float("-inf"),
        "BLOCK_SIZE": 8192,
        "BLOCK_SIZE_TRUNC": 4096,
        "TOPK_ENABLED": True,
        "TOPP_ENABLED": True,
    }
    types = POINTERS | dict.fromkeys(numbers, "i32") | dict.fromkeys(constants, "constexpr")
    places = {name: (place,) for place, name in enumerate(kernel.arg_names)}
    divisible = {*POINTERS, *(name for name, number in numbers.items() if number % DIVISOR == 0)}
    attributes = {
        place: [["tt.divisibility", DIVISOR]] if name in divisible else []
        for name, place in places.items()
        if name not in constants
    }
    source = triton.compiler.ASTSource(
        kernel,
        {name: types[name] for name in places},
        {places[name]: value for name, value in constants.items()},
        attributes,
    )
    return triton.compile(source, target=GPUTarget("cuda", capability, WARP))
