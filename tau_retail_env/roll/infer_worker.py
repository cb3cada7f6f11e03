"""ROLL's rollout worker, telling besides how much of the prompts vLLM found in its prefix cache."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from roll.distributed.scheduler.decorator import Dispatch, register
from roll.distributed.scheduler.protocol import DataProto
from roll.pipeline.base_worker import InferWorker

COUNTERS = {
    "vllm:prefix_cache_queries": "vllm/prefix_cache_queries",
    "vllm:prefix_cache_hits": "vllm/prefix_cache_hits",
    "vllm:generation_tokens": "vllm/generation_tokens",
}
"""What vLLM counts from its start on, in tokens, and the metrics that tell its growth: prompt tokens looked up in the
prefix cache, those found there, and tokens generated."""
HIT_RATE = "vllm/prefix_cache_hit_rate"


class TauRetailInferWorker(InferWorker):
    """An InferWorker whose metrics tell each step's tokens; named in YAML as `actor_infer.worker_cls`.

    With an engine other than vLLM it tells what ROLL's own does.
    """

    @register(dispatch_mode=Dispatch.DP_MP_COMPUTE)
    def get_metrics(self, metric_names: list[str] | None = None) -> DataProto:
        """The engine's metrics since the last call.

        Args:
            metric_names: which of ROLL's own, None for all.

        Returns:
            `meta_info["metrics"]` by name; of several workers ROLL takes the mean.
        """
        told = super().get_metrics(metric_names)
        counted = engine_counters()
        told.meta_info["metrics"] |= growth(getattr(self, "_counted", {}), counted)
        self._counted = counted
        return told


def engine_counters() -> dict[str, float]:
    """The counters of the vLLM in this process, under our names; empty without vLLM."""
    try:
        from vllm.v1.metrics.reader import get_metrics_snapshot  # type: ignore[import-not-found]
    except ImportError:
        return {}
    return add_up(get_metrics_snapshot())


def add_up(snapshot: Iterable[Any]) -> dict[str, float]:
    """Add up the counters that we tell over their labels.

    Args:
        snapshot: vLLM's metrics, each with `name`, and `value` where it is a counter.
    """
    sums: dict[str, float] = {}
    for metric in snapshot:
        if (name := COUNTERS.get(metric.name)) is not None:
            sums[name] = sums.get(name, 0.0) + float(metric.value)
    return sums


def growth(before: Mapping[str, float], now: Mapping[str, float]) -> dict[str, float]:
    """What was counted since the last look.

    Args:
        before: the counters then; one that is missing was 0.
        now: the counters now.

    Returns:
        The differences, and the share of the looked-up prompt tokens that the cache had, where there were any.
    """
    grown = {name: value - before.get(name, 0.0) for name, value in now.items()}
    if queries := grown.get("vllm/prefix_cache_queries"):
        grown[HIT_RATE] = grown["vllm/prefix_cache_hits"] / queries
    return grown
