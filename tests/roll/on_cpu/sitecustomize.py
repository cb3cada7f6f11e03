"""Stands in for the GPU of a ROLL run: Python imports this in every process that has this folder on PYTHONPATH.

No package is imported here; each patch waits for the module that it is for. How many GPUs there are is what Ray is told
in its own environment variable; instead of FLASH_ATTN vLLM takes its CPU's attention by itself.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


def gpus() -> int:
    """How many GPUs Ray is told that there are."""
    return int(json.loads(os.environ["RAY_OVERRIDE_RESOURCES"])["GPU"])


class NoDevice:
    """What `torch.cuda` has and `torch.cpu` has not: nothing is allocated, there is no random state to keep."""

    def __call__(self, *_: Any, **__: Any) -> int:
        return 0

    def __getattr__(self, name: str) -> NoDevice:
        return self


def visible_gpus(preflight: Any) -> None:
    """Stands in for the CUDA devices that torch counts."""
    preflight.visible_gpus = gpus


def device_of_roll(cpu: Any) -> None:
    """Stands in for ROLL's CUDA platform: the device that Ray hands out as a GPU, its memory and its random state."""
    import torch

    platform = cpu.CpuPlatform
    platform.ray_device_key = "GPU"
    platform.device_control_env_var = "CUDA_VISIBLE_DEVICES"
    platform.ray_experimental_noset = "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES"
    platform.mem_get_info = lambda *_: (1, 1)
    platform.device_count = staticmethod(gpus)
    platform.__getattr__ = lambda self, name: getattr(torch.cpu, name, NoDevice())


def weights_between_processes(send_recv_utils: Any) -> None:
    """Stands in for CUDA IPC: a learner's weights reach vLLM by the name of shared memory, not by a GPU's handle."""
    import torch.multiprocessing

    torch.multiprocessing.set_sharing_strategy("file_system")
    send_recv_utils.monkey_patch_torch_reductions = lambda: None


def sleep_of_vllm(arg_utils: Any) -> None:
    """Stands in for vLLM's sleep mode, which ROLL always asks for: the engine is told to sleep and stays awake."""
    begin = arg_utils.AsyncEngineArgs.__post_init__

    def begin_without_sleep(self: Any) -> None:
        self.enable_sleep_mode = False
        begin(self)

    arg_utils.AsyncEngineArgs.__post_init__ = begin_without_sleep


def linear_layers_of_vllm(utils: Any) -> None:
    """Stands in for a GPU's linear layers, whose weights stay as they are: vLLM packs them for the CPU only once."""
    import torch

    def plain(layer: Any, remove_weight: bool) -> None:
        layer.cpu_linear = torch.nn.functional.linear

    utils.dispatch_cpu_unquantized_gemm = plain


def cuda_of_megatron(core: Any) -> None:
    """Stands in for the CUDA device on which Megatron makes its weights and draws its random numbers."""
    import torch

    torch.cuda.current_device = lambda: torch.device("cpu")
    torch.cuda.get_rng_state = lambda *_: torch.get_rng_state()
    torch.cuda.set_rng_state = lambda state, *_: torch.set_rng_state(state)
    torch.cuda.manual_seed = torch.manual_seed
    torch.cuda.synchronize = lambda *_: None
    torch.Tensor.cuda = lambda self, *_, **__: self
    torch.Tensor.pin_memory = lambda self, *_: self
    torch._C._host_emptyCache = lambda: None
    for name in ("tensor", "empty", "zeros", "ones", "full", "arange"):
        setattr(torch, name, on_cpu(getattr(torch, name)))


def on_cpu(make: Callable[..., Any]) -> Callable[..., Any]:
    """A function that makes tensors, on the CPU where it is asked for CUDA."""

    def call(*given: Any, **named: Any) -> Any:
        return make(*given, **named | ({"device": "cpu"} if named.get("device") == "cuda" else {}))

    return call


def random_state_of_megatron(random: Any) -> None:
    """Stands in for the CUDA device's random state, which its checkpointing of activations keeps."""
    import torch

    random._get_cuda_rng_state = lambda *_, **__: torch.get_rng_state()
    random._set_cuda_rng_state = lambda state, *_, **__: torch.set_rng_state(state)


def as_on_cuda(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function to which tensors name types as those of a GPU do."""
    import torch

    kind_of = torch.Tensor.type

    def call(*given: Any, **named: Any) -> Any:
        torch.Tensor.type = lambda self: kind_of(self).replace("torch.", "torch.cuda.")
        try:
            return function(*given, **named)
        finally:
            torch.Tensor.type = kind_of

    return call


def weights_of_megatron(distrib_optimizer: Any) -> None:
    """Stands in for weights on a GPU, by whose type its optimizer asks whether they are."""
    kind = distrib_optimizer.DistributedOptimizer
    kind._build_model_and_main_param_groups = staticmethod(as_on_cuda(kind._build_model_and_main_param_groups))


def gradients_of_megatron(clip_grads: Any) -> None:
    """Stands in for gradients on a GPU, of which it is asserted."""
    clip_grads.clip_grad_by_total_norm_fp32 = as_on_cuda(clip_grads.clip_grad_by_total_norm_fp32)


def bf16_of_transformers(training_args: Any) -> None:
    """Stands in for a GPU that can compute in bf16, which training arguments otherwise want."""
    training_args.is_torch_bf16_gpu_available = lambda: True


def offloading_of_megatron(offload: Any) -> None:
    """Stands in for a GPU beside the CPU: what is moved to and fro is `cpu` and `cpu:0`, and no memory is pinned."""
    from roll.platforms.cpu import CpuPlatform

    CpuPlatform.current_device = lambda self: 0
    for name in ("move_tensors_to_device_buffer", "move_grad_data_to_device", "move_ddp_model_params_tensor_to_device"):
        move = getattr(offload, name)
        setattr(offload, name, lambda *given, move=move, **named: move(*given, **named | {"pin_memory": False}))


PATCHES = {
    "tau_retail_env.roll.preflight": visible_gpus,
    "roll.platforms.cpu": device_of_roll,
    "roll.utils.send_recv_utils": weights_between_processes,
    "vllm.engine.arg_utils": sleep_of_vllm,
    "vllm.model_executor.layers.utils": linear_layers_of_vllm,
}
FOR_MEGATRON = {
    "transformers.training_args": bf16_of_transformers,
    "megatron.core": cuda_of_megatron,
    "megatron.core.tensor_parallel.random": random_state_of_megatron,
    "megatron.core.optimizer.clip_grads": gradients_of_megatron,
    "megatron.core.optimizer.distrib_optimizer": weights_of_megatron,
    "roll.third_party.megatron.offload_states_patch": offloading_of_megatron,
}
"""Where a run learns with Megatron alone: ROLL imports it where it is installed, and these change PyTorch itself."""
LEARNER = "TAU_RETAIL_ON_CPU"
"""Environment variable of a run; `megatron` says that it learns with that."""


class AfterImport(MetaPathFinder):
    """Has a module patched when it has been imported.

    Args:
        patches: what to call with which module.
    """

    def __init__(self, patches: dict[str, Callable[[Any], None]]) -> None:
        self._patches = dict(patches)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module that has a patch, as Python itself would."""
        patch = self._patches.pop(name, None)
        spec = importlib.util.find_spec(name) if patch else None
        if patch is None or spec is None or spec.loader is None:
            return None
        run: Callable[[ModuleType], None] = spec.loader.exec_module

        def run_and_patch(module: ModuleType) -> None:
            run(module)
            patch(module)

        spec.loader.exec_module = run_and_patch  # type: ignore[method-assign]
        return spec


sys.meta_path.insert(0, AfterImport(PATCHES | (FOR_MEGATRON if os.environ.get(LEARNER) == "megatron" else {})))
