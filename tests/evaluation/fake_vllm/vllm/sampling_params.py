"""Part of the stand-in for vLLM: which outputs are told."""

from enum import Enum


class RequestOutputKind(Enum):
    """Vllm's kinds of output, of which one is used."""

    FINAL_ONLY = 2
