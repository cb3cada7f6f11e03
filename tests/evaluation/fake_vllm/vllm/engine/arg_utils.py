"""Part of the stand-in for vLLM: the arguments of an engine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(kw_only=True)
class EngineArgs:
    """The arguments that are used, under vLLM's names; an unknown one is a TypeError as there."""

    model: str
    skip_tokenizer_init: bool
    generation_config: str
    max_model_len: int
    max_num_seqs: int
    max_num_batched_tokens: int
    enable_prefix_caching: bool
    disable_log_stats: bool
    logprobs_mode: str
    enforce_eager: bool
    compilation_config: dict[str, Any] = field(default_factory=dict)
    kv_cache_memory_bytes: int | None = None
    gpu_memory_utilization: float = 0.9
