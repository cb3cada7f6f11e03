"""Several rollout engines on each GPU: where they run, what memory each has, how new weights reach all of them."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.models.shapes import Shape
from tau_retail_env.roll.config.memory import GIB, SMALLEST_CACHE
from tau_retail_env.roll.config.rules import INFER_GPU_MEMORY, parse_devices

CACHE = "kv_cache_memory_bytes"
"""vLLM's name for the size of its cache; where it is given vLLM measures nothing."""
BESIDES_GIB = 3
"""What an engine takes beside weights and cache: CUDA's own, activations, graphs."""


def several_engines(values: Mapping[str, Any], shape: Shape | None, card_gib: float | None) -> dict[str, Any]:
    """Have ROLL start `engines_per_gpu` rollout workers on each GPU.

    Each takes its part of `infer_gpu_memory`. vLLM measures what is free while it starts, which is wrong beside others
    that start: where shape and card are known it is told the size of its cache instead.

    Args:
        values: as composed and checked.
        shape: of the model; None where it is not known.
        card_gib: GiB of a GPU; None where it is not known.

    Returns:
        The configuration, changed where there is more than one engine.

    Raises:
        InvalidValueError: nothing is left for an engine's cache.
    """
    number = values.get("engines_per_gpu", 1)
    if number == 1:
        return dict(values)
    infer = values["actor_infer"]
    args = infer["strategy_args"]
    share = values.get("infer_gpu_memory", INFER_GPU_MEMORY) / number
    config = {**(args.get("strategy_config") or {}), "gpu_memory_utilization": share}
    if shape is not None and card_gib is not None and CACHE not in config:
        config[CACHE] = _cache_bytes(values, shape, share * card_gib)
    changed = {
        "device_mapping": parse_devices(infer["device_mapping"]) * number,
        "strategy_args": {**args, "strategy_config": config},
    }
    return {**values, "actor_infer": {**infer, **changed}}


def _cache_bytes(values: Mapping[str, Any], shape: Shape, given_gib: float) -> int:
    """What an engine's part of the memory leaves for keys and values."""
    share = values.get("infer_gpu_memory", INFER_GPU_MEMORY)
    cache = int((given_gib - BESIDES_GIB) * GIB - 2 * shape.parameters)
    needed = SMALLEST_CACHE * values["sequence_length"] * shape.cache_bytes
    if cache < needed:
        raise InvalidValueError(
            f"engines_per_gpu: each of {values['engines_per_gpu']} engines has {given_gib:.1f} GiB of a card, of which "
            f"{max(cache, 0) / GIB:.1f} are left for its cache, and {SMALLEST_CACHE} whole episodes need "
            f"{needed / GIB:.1f}: use fewer, or raise infer_gpu_memory {share}"
        )
    return cache


def one_a_gpu(cluster: Any) -> list[Any]:
    """A cluster of rollout workers as several, each with one worker a GPU, for ROLL's update of their weights.

    ROLL's hands weights from a learner to the one worker of the same rank.

    Args:
        cluster: ROLL's; the workers of all GPUs, then again of all GPUs, and so on.
    """
    devices = cluster.worker_config.device_mapping
    gpus = len(set(devices))
    parts = []
    for first in range(0, len(devices), gpus):
        part = copy.copy(cluster)
        part.worker_config = copy.copy(cluster.worker_config)
        part.worker_config.device_mapping = devices[first : first + gpus]
        part.workers = cluster.workers[first : first + gpus]
        parts.append(part)
    return parts


class OneAfterAnother:
    """ROLL's updates of several engines' weights as one.

    Args:
        updaters: ROLL's, one for each engine of a GPU.
    """

    def __init__(self, updaters: Sequence[Any]) -> None:
        self._updaters = updaters

    def model_update(self) -> dict[str, Any]:
        """Hand the weights to all; ROLL's metrics of the last."""
        told: dict[str, Any] = {}
        for one in self._updaters:
            told = one.model_update()
        return told


def set_up_updates(strategy: Any, cluster: Any, name: str) -> None:
    """Have a learner's FSDP2 strategy hand its weights to every engine on its GPU.

    Args:
        strategy: ROLL's.
        cluster: of the rollout workers.
        name: of the update.
    """
    parts = one_a_gpu(cluster)
    names = [f"{name}/{number}" for number in range(len(parts))]
    for one, part in zip(names, parts, strict=True):
        strategy.setup_model_update(infer_cluster=part, model_update_name=one)
    updaters = strategy.weight_updaters
    updaters[name] = OneAfterAnother([updaters[one] for one in names])
