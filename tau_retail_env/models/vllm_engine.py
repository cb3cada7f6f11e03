"""vLLM in this process, token ids in and out: a model's turns in many conversations, drawn as they are asked for."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tau_retail_env.errors import MissingDependencyError, TauRetailError
from tau_retail_env.models.sampler import Reply, SamplingSettings
from tau_retail_env.models.vllm_kernels import kept_kernels
from tau_retail_env.models.vllm_start import look_up_models_here

ENVIRONMENT: Mapping[str, str] = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # the scheduler runs here: no token passes between processes
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_USE_FLASHINFER_SAMPLER": "0",  # it would be compiled at the first draw
    "VLLM_HOST_IP": "127.0.0.1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_NUM_THREADS": "1",
}
"""What vLLM reads from the environment before it is imported; what is set there already stays."""
GRAPH_SIZES = [1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 160, 192, 256, 384, 512, 768, 1024]
"""Tokens of a step for which CUDA graphs are made: fewer than vLLM's own 51, for each takes its time at the start, and
larger, for most steps read what came back in one conversation while they draw in the others."""
TOKENS_A_STEP = 8192
"""Most tokens of a step, prompts included."""
GPU_MEMORY = 0.9
"""The share of a GPU's memory that all engines on it take together, where nobody has said it."""
BESIDES_BYTES = 3 << 30
"""Bytes that an engine takes beside weights and key-value cache: CUDA's own, activations, graphs."""
SMALLEST_CACHE_BYTES = 256 << 20


class EngineMemoryError(TauRetailError):
    """The GPU's memory does not suffice for this many engines."""


class EngineFailedError(Exception):
    """Vllm failed while it drew: what was under way can be drawn by another engine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """What decides how fast a `VllmEngine` is, and what it takes."""

    sequence_length: int
    """Most tokens of a conversation."""
    at_once: int
    """Most conversations of a step."""
    engines_on_gpu: int = 1
    """How many share the GPU's memory, this one included."""
    gpu_memory: float = GPU_MEMORY
    """The share of it that they take together."""
    eager: bool = False
    """Whether to do without compilation and CUDA graphs: starts sooner, draws more slowly."""
    logprobs: bool = False
    """Whether to tell the log-probability of each token; needs a temperature of 0 or 1, or all tokens to draw from."""


@dataclass(slots=True)
class EngineCounts:
    """What an engine has done so far."""

    turns: int = 0
    """Turns of the model."""
    prompt_tokens: int = 0
    """Tokens before them, each time anew."""
    cached_tokens: int = 0
    """Those of them whose keys and values were still there."""
    new_tokens: int = 0
    """Tokens that were drawn."""


class VllmEngine:
    """Draws turns with vLLM, in continuous batches.

    Args:
        folder: a checkpoint.
        sampling: how tokens are drawn.
        stop_ids: tokens that end a turn; the model's own list of them is not heeded.
        settings: what it may take.

    Raises:
        MissingDependencyError: vLLM is not installed in this Python.
        EngineMemoryError: the GPU's memory does not suffice.
    """

    def __init__(
        self, folder: str, sampling: SamplingSettings, stop_ids: Sequence[int], settings: EngineSettings
    ) -> None:
        for name, value in {**ENVIRONMENT, **kept_kernels()}.items():
            os.environ.setdefault(name, value)
        try:
            from vllm import SamplingParams
            from vllm.engine.arg_utils import EngineArgs
            from vllm.sampling_params import RequestOutputKind
            from vllm.v1.engine.llm_engine import LLMEngine
        except ImportError as error:
            raise MissingDependencyError(f"vLLM cannot be imported: {error}; see requirements-roll.txt") from error
        look_up_models_here()
        self.counts = EngineCounts()
        self._limit = sampling.max_new_tokens
        with_logprobs = settings.logprobs and _are_told(sampling)
        self._make_params: Any = lambda room, seed: SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            seed=seed if sampling.temperature else None,
            max_tokens=room,
            stop_token_ids=list(stop_ids),
            ignore_eos=True,
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
            logprobs=0 if with_logprobs else None,
            flat_logprobs=with_logprobs,
        )
        engine_args = EngineArgs(**_arguments(folder, sampling, settings))
        self._engine: Any = LLMEngine.from_engine_args(engine_args)

    def add(self, place: int, prompt_ids: Sequence[int], *, room: int, seed: int) -> None:
        """Ask for the model's next turn.

        Args:
            place: the number under which the turn comes back.
            prompt_ids: all tokens before it.
            room: most tokens that it may have; `max_new_tokens` holds besides.
            seed: of its draws.

        Raises:
            EngineFailedError: whatever vLLM raises.
        """
        params = self._make_params(min(room, self._limit), seed)
        with _vllm_at_work():
            self._engine.add_request(str(place), {"type": "token", "prompt_token_ids": list(prompt_ids)}, params)

    def step(self) -> list[tuple[int, Reply]]:
        """Draw a token for every conversation that asked; returns the turns that ended, by place.

        Raises:
            EngineFailedError: whatever vLLM raises.
        """
        with _vllm_at_work():
            outputs = self._engine.step()
        return [(int(output.request_id), self._reply(output)) for output in outputs if output.finished]

    def _reply(self, output: Any) -> Reply:
        said = output.outputs[0]
        ids = tuple(said.token_ids)
        counts = self.counts
        counts.turns += 1
        counts.prompt_tokens += len(output.prompt_token_ids)
        counts.cached_tokens += output.num_cached_tokens or 0
        counts.new_tokens += len(ids)
        logprobs = None if said.logprobs is None else tuple(said.logprobs.logprobs)
        return Reply(ids, logprobs, said.finish_reason == "stop")


@contextlib.contextmanager
def _vllm_at_work() -> Iterator[None]:
    """Tell vLLM's errors from those of an environment.

    Raises:
        EngineFailedError: in the place of what vLLM raises.
    """
    try:
        yield
    except Exception as error:
        raise EngineFailedError(f"{type(error).__name__}: {error}") from error


def _arguments(folder: str, sampling: SamplingSettings, settings: EngineSettings) -> dict[str, Any]:
    """The arguments of vLLM's `EngineArgs` (vllm/engine/arg_utils.py of 0.22.1)."""
    return {
        "model": folder,
        "skip_tokenizer_init": True,
        "generation_config": "vllm",  # not the checkpoint's own temperature and ends
        "max_model_len": settings.sequence_length,
        "max_num_seqs": settings.at_once,
        "max_num_batched_tokens": max(TOKENS_A_STEP, settings.at_once),
        "enable_prefix_caching": True,
        "disable_log_stats": True,
        "logprobs_mode": "raw_logprobs" if sampling.temperature in (0, 1) else "processed_logprobs",
        **_speed(settings),
        **_memory(folder, settings),
    }


def _speed(settings: EngineSettings) -> dict[str, Any]:
    """Compilation and CUDA graphs, where there is a GPU for them."""
    import torch

    if settings.eager or not torch.cuda.is_available():
        return {"enforce_eager": True, "compilation_config": {"mode": 0}}
    return {"enforce_eager": False, "compilation_config": {"cudagraph_capture_sizes": GRAPH_SIZES}}


def _memory(folder: str, settings: EngineSettings) -> dict[str, Any]:
    """The share of a GPU, as bytes of the cache: vLLM's own measurement is wrong while other engines start beside it.

    Raises:
        EngineMemoryError: nothing is left for the cache.
    """
    import torch

    if not torch.cuda.is_available():
        return {}
    free, total = torch.cuda.mem_get_info()
    share = settings.gpu_memory / settings.engines_on_gpu
    cache_bytes = int(min(total * share, free) - weights_bytes(folder) - BESIDES_BYTES)
    if cache_bytes < SMALLEST_CACHE_BYTES:
        raise EngineMemoryError(
            f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB of the GPU are free, and {settings.engines_on_gpu} "
            f"engines may take {settings.gpu_memory * total / 2**30:.1f}: too little for one of them; use fewer "
            "(--engines; in a configuration play.engines), or give them more (--gpu-memory; play.gpu_memory)"
        )
    return {"kv_cache_memory_bytes": cache_bytes, "gpu_memory_utilization": min(share, free / total) / 2}


def weights_bytes(folder: str) -> int:
    """The bytes of a checkpoint's weights."""
    with os.scandir(folder) as files:
        return sum(file.stat().st_size for file in files if file.name.endswith((".safetensors", ".bin")))


def _are_told(sampling: SamplingSettings) -> bool:
    """Whether vLLM returns what `Reply.logprobs` is: at other temperatures only for an uncut vocabulary."""
    return sampling.temperature in (0, 1) or (sampling.top_p == 1 and not sampling.top_k)
