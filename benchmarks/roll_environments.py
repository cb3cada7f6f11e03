"""What an environment worker takes to get ready, ROLL's own and ours: python benchmarks/roll_environments.py TOKENIZER

In the environment of the engine roll, on a CPU, without Ray. Each side runs in a process of its own and makes the same
environments of τ²'s retail, as ROLL's `initialize` does.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

TAG = "retail"
ENV_MANAGER = "tau_retail_env.roll.env_manager.TauRetailEnvManager"


def main() -> None:
    """Run both sides, one after another, and print them and their ratios."""
    options = _options()
    if options.side:
        print(json.dumps(measure(options)))
        return
    found = {side: _in_a_process(side) for side in ("roll", "ours")}
    print(f"{options.environments} environments of one worker, tokenizer {Path(options.tokenizer).name}")
    print(f"{'':24}{'ROLL':>12}{'ours':>12}{'ratio':>10}")
    for name, their in found["roll"].items():
        print(f"{name:24}{their:12.2f}{found['ours'][name]:12.2f}{their / found['ours'][name]:9.1f}x")


def measure(options: argparse.Namespace) -> dict[str, float]:
    """Seconds and memory of one side, in this process; loading the tokenizer is part of both."""
    from roll.pipeline.agentic import environment_worker as theirs

    from tau_retail_env.roll.environment_worker import TauRetailEnvironmentWorker

    logging.disable(logging.INFO)
    _without_ray()
    side = theirs.EnvironmentWorker if options.side == "roll" else TauRetailEnvironmentWorker
    worker, config = _worker(side, options)
    gc.collect()
    before, start = _resident_mb(), time.perf_counter()
    asyncio.run(worker.initialize(config, None, None))
    took_s = time.perf_counter() - start
    gc.collect()
    return {"seconds": took_s, "resident MB": _resident_mb() - before}


def _without_ray() -> None:
    """A model's folder is where it is: ROLL asks Ray's storage whether it has been downloaded."""
    from roll.distributed.executor import worker
    from roll.models import model_providers
    from roll.pipeline.agentic import environment_worker

    for module in (worker, model_providers, environment_worker):
        module.download_model = lambda name: name


def _worker(side: Any, options: argparse.Namespace) -> tuple[Any, Any]:
    from omegaconf import DictConfig
    from roll.configs import GeneratingArguments
    from roll.pipeline.agentic.agentic_config import AgenticConfig, EnvManagerConfig, EnvMonitorConfig, LLMProxyConfig

    settings = {"source": "tau2", "split": "train", "prompt_style": "full"}
    block = {"env_type": "tau_retail", "env_manager_cls": ENV_MANAGER, "trajectory_share": 0, "env_config": settings}
    config = SimpleNamespace(
        custom_envs=DictConfig({TAG: block}),
        sequence_length=16384,
        seed=42,
        rollout_batch_size=options.environments,
        val_batch_size=options.environments,
        async_generation_ratio=0,
        resume_from_checkpoint=False,
        rollout_dump_dir=None,
        output_dir="",
        skip_mock_system_prompt=False,
        env_monitor=EnvMonitorConfig(enable=False),
    )
    managers = EnvManagerConfig(
        num_env_groups=options.environments,
        group_size=1,
        tags=[TAG],
        num_groups_partition=[options.environments],
        max_env_num_per_worker=options.environments,
        generating_args=GeneratingArguments(max_new_tokens=512),
        llm_proxy=LLMProxyConfig(proxy_type="random"),  # asks no engine
    )
    managers.model_args.model_name_or_path = options.tokenizer
    AgenticConfig.make_env_configs(config, managers)
    worker = side.__new__(side)
    worker.worker_config, worker.rank = managers, 0
    worker.env_managers, worker.tokenizer, worker.processor = {}, None, None
    worker.env_configs = managers.env_configs[0]
    worker.thread_lock, worker.proxy_server = threading.Lock(), None
    return worker, config


def _resident_mb() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1000 for line in lines if line.startswith("VmRSS:"))


def _in_a_process(side: str) -> dict[str, float]:
    command = [sys.executable, __file__, *sys.argv[1:], "--side", side]
    with tempfile.TemporaryDirectory() as logs:
        variables = {"ROLL_LOG_DIR": logs, **os.environ}  # otherwise ROLL writes into the current folder
        said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=variables).stdout
    found: dict[str, float] = json.loads(said.splitlines()[-1])
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokenizer", help="a folder with a tokenizer whose template shows tools")
    parser.add_argument("--environments", type=int, default=16, help="of the worker")
    parser.add_argument("--side", choices=("roll", "ours"), help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
