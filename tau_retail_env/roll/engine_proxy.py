"""Our proxy of the rollout engine, in place of ROLL's: a turn is one Ray call to the engine's worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import ray
import torch
from ray.util import list_named_actors
from roll.distributed.scheduler.protocol import DataProto
from roll.pipeline.agentic.llm_proxy.base_llm_proxy import BaseLLMProxy, register_llm_proxy

from tau_retail_env.roll.requests import PROXY

CLUSTER = "actor_infer"
"""ROLL's name of the engine's workers, `actor_infer-RANK-G…`."""


@register_llm_proxy(PROXY)
class EngineProxy(BaseLLMProxy):
    """Asks the engine's worker itself.

    ROLL's own proxy makes three calls to a router, one process for all environments, which makes a fourth to the
    engine. What the router is for, to hold requests back while weights change, the worker does here
    (`tau_retail_env.roll.workers.RolloutWorker`). And it imports vLLM in each environment worker, in the middle of the
    first rollout.

    Args:
        generate_scheduler: ROLL's router, not used.
        llm_proxy_config: ROLL's.
        tokenizer: the environment's.
        env: the environment.
    """

    def __init__(self, generate_scheduler: Any, llm_proxy_config: Any, tokenizer: Any, env: Any) -> None:
        super().__init__(generate_scheduler, llm_proxy_config, tokenizer, env)
        self._engines = engines()

    def generate(
        self, messages: Sequence[Mapping[str, Any]], lm_input: DataProto, generation_config: dict[str, Any]
    ) -> DataProto:
        """Have the engine go on after a prompt; an environment always asks the same engine, which has its prefix.

        Args:
            messages: not used.
            lm_input: `input_ids` [1, tokens]; `meta_info["src_rank"]` is the environment's number.
            generation_config: ROLL's, with `max_new_tokens`.

        Returns:
            `responses` and `infer_logprobs`, both [1, new tokens].
        """
        engine = self._engines[lm_input.meta_info["src_rank"] % len(self._engines)]
        answer = ray.get(engine.answer.remote(lm_input.batch["input_ids"][0].tolist(), generation_config))
        columns = {
            "responses": torch.tensor([answer[0]], dtype=torch.long),
            "infer_logprobs": torch.tensor([answer[1]], dtype=torch.float),
        }
        return DataProto.from_dict(columns, meta_info={})


@cache
def engines() -> tuple[Any, ...]:
    """The engine's workers in this run's Ray, by rank; looked up once in a process."""
    ranks = {name: int(name.split("-")[1]) for name in list_named_actors() if name.startswith(f"{CLUSTER}-")}
    return tuple(ray.get_actor(name) for name in sorted(ranks, key=lambda name: ranks[name]))
