"""What is imported and loaded before it is needed, beside other work: in the run's own process and in its workers."""

from __future__ import annotations

import importlib
import os
import random
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from tau_retail_env.models.shapes import shape_of
from tau_retail_env.models.vllm_kernels import AT_ONCE, compile_sampler, kept_kernels
from tau_retail_env.models.vllm_start import look_up_models_here
from tau_retail_env.roll.engine_ahead import EngineProcess, use_for_the_engine
from tau_retail_env.roll.registration import make_environment
from tau_retail_env.roll.run_tasks import take

ENGINES = {"vllm": "roll.distributed.strategy.vllm_strategy", "sglang": "roll.distributed.strategy.sglang_strategy"}
"""ROLL's modules that import a rollout engine."""
ROLLS_PACKAGES = "ray tensordict peft datasets openai fastapi gem transformers.loss.loss_utils".split()
"""What takes longest of the imports of ROLL's pipeline and workers besides PyTorch and transformers."""


def in_background(work: Callable[[], object]) -> threading.Thread:
    """Begin some work beside what the process does; what fails in it fails again, with its message, where it is needed.

    Args:
        work: its result is let go.

    Returns:
        The thread, to be waited for.
    """

    def run() -> None:
        with suppress(Exception):
            work()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def import_rolls_packages() -> None:
    """Import what ROLL will import of others; one that is missing is named where ROLL is imported.

    ROLL itself writes files and lines as soon as it is imported, which a run that is refused must not.
    """
    for name in ROLLS_PACKAGES:
        with suppress(Exception):
            importlib.import_module(name)


def import_engine(strategy: str, process: EngineProcess | None = None) -> None:
    """Import a rollout engine, which takes longer than anything else that its worker imports.

    ROLL draws a vLLM engine's port by Python's generator, right after it has given that the run's seed: two runs of one
    seed that start on a machine at once would take the same port, since an engine listens there only seconds later.
    Here it is drawn by the system's.

    Args:
        strategy: ROLL's name, such as vllm.
        process: for vLLM's engine, started ahead.
    """
    if strategy not in ENGINES:
        return
    module: Any = importlib.import_module(ENGINES[strategy])
    if strategy == "vllm":
        for name, value in kept_kernels().items():
            os.environ.setdefault(name, value)
        module.random = random.SystemRandom()
        look_up_models_here()
        if process is not None:
            use_for_the_engine(process)


def compile_kernels(worker_config: Any, importing: threading.Thread) -> None:
    """Compile what a vLLM engine would compile after its model, while the learners load.

    Args:
        worker_config: ROLL's, of the rollout worker.
        importing: imports the engine.
    """
    arguments = worker_config.strategy_args
    if arguments.strategy_name == "vllm":
        importing.join()
        at_once = (arguments.strategy_config or {}).get("max_num_seqs", AT_ONCE)
        compile_sampler(shape_of(worker_config.model_args.model_name_or_path).vocabulary, at_once)


def load_for(env_configs: Iterable[Mapping[str, Any]]) -> None:
    """Load what the environments of a worker share: their tasks, which the run's process has, env managers, and shop.

    Args:
        env_configs: ROLL's, of each environment.
    """
    one_of_each = {one["tag"]: one for one in env_configs}
    with suppress(Exception):  # then they are loaded here
        take(one_of_each)
    for module in {one["env_manager_cls"].rpartition(".")[0] for one in one_of_each.values()}:
        importlib.import_module(module)
    make_one_of_each(one_of_each.values())


def make_one_of_each(env_configs: Iterable[Mapping[str, Any]]) -> None:
    """Make one environment of each tag of an environment worker, so that tasks and shop, which all share, are loaded.

    ROLL makes a worker's environments on as many threads at the same time, each of which would load them.

    Args:
        env_configs: ROLL's, of each environment.
    """
    for env_config in {one["tag"]: one for one in env_configs}.values():
        make_environment(**env_config["config"])
