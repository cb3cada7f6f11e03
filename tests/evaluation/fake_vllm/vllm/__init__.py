"""A stand-in for vLLM 0.22.1's in-process engine, for machines without it: the same calls, drawn by transformers.

It is slow and remembers nothing of earlier requests; where VLLM_STAND_IN tells it to die, to hang or to fail, it does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__version__ = "0.22.1"


@dataclass(kw_only=True)
class SamplingParams:
    """The parameters that are used, under vLLM's names; an unknown one is a TypeError as there."""

    temperature: float
    top_p: float
    top_k: int
    seed: int | None
    max_tokens: int
    stop_token_ids: list[int]
    ignore_eos: bool
    detokenize: bool
    output_kind: Any
    logprobs: int | None
    flat_logprobs: bool
