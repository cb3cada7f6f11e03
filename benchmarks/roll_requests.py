"""What a turn costs between an environment and the engine: ROLL's router beside our line, by real Ray, without a GPU.

python benchmarks/roll_requests.py, in the environment of the engine roll. In the engine's place a worker answers after
--wait seconds, so that what remains is calls, tensors and waiting. Threads of one worker ask, as an environment
worker's do, each side's with the environment variables that its workers have. Both sides run one after another in one
Ray; on a machine with other work only their ratio means anything.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PATHS = [path for path in (str(ROOT), os.environ.get("ROLL_PATH")) if path]
sys.path[:0] = PATHS

SIDES = {"ROLL's router": "policy", "ours": "tau_retail"}
NEW_TOKENS = 40


class Engine:
    """A rollout worker that answers after some seconds, by both ways."""

    def __init__(self, wait_s: float) -> None:
        self._wait_s = wait_s

    async def generate_request(self, payload: dict[str, Any]) -> dict[str, Any]:
        """What ROLL's router asks."""
        tokens, logprobs = await self._say()
        return {"output_token_ids": [tokens], "finish_reasons": ["stop"], "output_logprobs": [logprobs]}

    async def answer(self, prompt_ids: list[int], generation_config: dict[str, Any]) -> tuple[list[int], list[float]]:
        """What our proxy asks."""
        return await self._say()

    async def _say(self) -> tuple[list[int], list[float]]:
        await asyncio.sleep(self._wait_s)
        return [7] * NEW_TOKENS, [-0.5] * NEW_TOKENS


class Environments:
    """An environment worker: threads that ask the engine, turn after turn."""

    def __init__(self, proxy_type: str, router: Any, model: str) -> None:
        from roll.pipeline.agentic.agentic_config import LLMProxyConfig
        from roll.pipeline.agentic.llm_proxy import create_llm_proxy
        from transformers import AutoTokenizer

        from tau_retail_env.roll import engine_proxy  # noqa: F401 — registers our proxy

        tokenizer = AutoTokenizer.from_pretrained(model)
        self._proxy = create_llm_proxy(router, LLMProxyConfig(proxy_type=proxy_type), tokenizer, None)

    def play(self, threads: int, turns: int, prompt: int) -> tuple[float, float]:
        """Turns a second of all threads together, and processor milliseconds of this process a turn."""

        def environment(env_id: int) -> None:
            for _ in range(turns):
                _turn(self._proxy, env_id, prompt)

        start, start_cpu = time.perf_counter(), time.process_time()
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(environment, range(threads)))
        asked = threads * turns
        return asked / (time.perf_counter() - start), 1000 * (time.process_time() - start_cpu) / asked


def main() -> None:
    """Measure both sides and print them and their ratio."""
    options = _options()
    os.environ.setdefault("ROLL_LOG_DIR", tempfile.mkdtemp(prefix="roll_logs."))
    import ray
    from roll.platforms import current_platform

    from tau_retail_env.roll.ray_cluster import worker_variables

    os.environ |= {"PYTHONPATH": os.pathsep.join(PATHS), "TAU_RETAIL_RUN": "benchmark"}
    variables = {name: os.environ[name] for name in ("PYTHONPATH", "ROLL_LOG_DIR")}
    ray.init(namespace="roll", include_dashboard=False, runtime_env={"env_vars": variables}, num_cpus=4)
    engine = ray.remote(Engine).options(name="actor_infer-0-G0", num_cpus=0, max_concurrency=1000).remote(options.wait)
    router = _router(engine, options)
    of_side = dict(zip(SIDES, (current_platform.get_custom_env_vars(), worker_variables()), strict=True))
    found = {}
    for side, name in SIDES.items():
        made = ray.remote(Environments).options(num_cpus=0, runtime_env={"env_vars": {**variables, **of_side[side]}})
        worker = made.remote(name, router, str(options.model))
        ray.get(worker.play.remote(options.threads, 2, options.prompt))  # imports, and the processes' first work
        found[side] = ray.get(worker.play.remote(options.threads, options.turns, options.prompt))
    print(
        f"{options.threads} threads, {options.turns} turns each, prompts of {options.prompt} tokens, {options.wait:g} s"
    )
    print(f"{'':34}{'turns/s':>10}{'CPU ms a turn':>16}")
    for side, (rate, cpu_ms) in found.items():
        print(f"{side:34}{rate:10.0f}{cpu_ms:16.2f}")
    (their_rate, their_ms), (our_rate, our_ms) = found.values()
    print(f"{'ratio':34}{our_rate / their_rate:9.1f}x{their_ms / our_ms:15.1f}x")
    ray.shutdown()


def _router(engine: Any, options: argparse.Namespace) -> Any:
    import ray
    from roll.configs.base_config import RouterArguments
    from roll.configs.model_args import ModelArguments
    from roll.distributed.scheduler.router import RouterManager

    config = SimpleNamespace(
        strategy_args=SimpleNamespace(strategy_name="vllm", strategy_config={}),
        model_args=ModelArguments(model_name_or_path=str(options.model)),
    )
    cluster = SimpleNamespace(workers=[engine], worker_config=config)
    made = ray.remote(RouterManager).options(num_cpus=0, max_concurrency=options.threads + 1)
    router = made.remote(
        actor_cluster=cluster, router_args=RouterArguments(router_name="EnvAffinityRouter"), num_gpus_per_node=1
    )
    ray.get(router.initialize.remote())
    return router


def _turn(proxy: Any, env_id: int, prompt: int) -> None:
    import torch
    from roll.configs import GeneratingArguments
    from roll.distributed.scheduler.protocol import DataProto

    input_ids = torch.arange(5, 5 + prompt)[None] % 500
    attention_mask = torch.ones_like(input_ids)
    columns = {"input_ids": input_ids, "attention_mask": attention_mask, "position_ids": attention_mask.cumsum(-1) - 1}
    given = DataProto.from_dict(columns, meta_info={"src_rank": env_id})
    config = GeneratingArguments(max_new_tokens=64, temperature=1.0, top_p=1.0, top_k=-1).to_dict()
    assert proxy.generate([], given, config).batch["responses"].shape == (1, NEW_TOKENS)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=ROOT / "checkpoints" / "small", help="folder with a tokenizer")
    parser.add_argument("--threads", type=int, default=16, help="environments that ask (default 16, as in a worker)")
    parser.add_argument("--turns", type=int, default=30, help="of each")
    parser.add_argument("--wait", type=float, default=0.0, help="seconds until the engine answers (a GPU's: about 3)")
    parser.add_argument("--prompt", type=int, default=3000, help="tokens of a prompt")
    return parser.parse_args()


if __name__ == "__main__":
    main()
