"""The process of a vLLM engine, started before it is wanted: it imports PyTorch, vLLM and ROLL while others do."""

from __future__ import annotations

import atexit
import functools
import importlib
import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

IMPORTED = ("vllm.v1.engine.core", "vllm.v1.worker.gpu_worker", "roll.third_party.vllm.worker")
"""What an engine's process imports until it loads the model."""
READ_EARLY = (
    "CUDA_DEVICE_ORDER",
    "CUDA_VISIBLE_DEVICES",
    "FLASHINFER_WORKSPACE_BASE",
    "HIP_VISIBLE_DEVICES",
    "LD_PRELOAD",
    "OMP_NUM_THREADS",
    "PYTORCH_ALLOC_CONF",
    "PYTORCH_CUDA_ALLOC_CONF",
    "ROCR_VISIBLE_DEVICES",
)
"""Variables that may be read while PyTorch, CUDA and vLLM are imported; all others come with what is to do."""
WANTED = "TAU_RETAIL_ENGINE_AHEAD"
"""Environment variable of a rollout worker that is to start its engine's process as soon as it runs."""
NAME = "EngineCore"
"""VLLM's for the process of an engine without data parallelism."""


class EngineProcess(SpawnProcess):
    """A process of multiprocessing's that runs already, and imports; `start` has it do what `takes` has agreed to.

    Args:
        modules: what it imports; what fails there fails again where it is needed.
    """

    def __init__(self, modules: Sequence[str] = IMPORTED) -> None:
        theirs, ours = multiprocessing.Pipe(duplex=False)
        early = set_by_roll()
        super().__init__(target=_import_and_wait, args=(theirs, early, tuple(modules)), name=NAME)
        super().start()
        theirs.close()
        self._read = read_early({**os.environ, **early})
        self._to_do: bytes | None = None
        self._ours = ours
        atexit.register(ours.close)  # where it is never given anything to do, it ends then

    def takes(
        self, *, target: Any = None, name: str | None = None, kwargs: Mapping[str, Any] | None = None, **others: Any
    ) -> bool:
        """Whether it may do what vLLM wants of a process: once, with the variables it began with, alone on its GPU.

        Args:
            target: what it is to call.
            name: of the process.
            kwargs: arguments; vLLM's.
            others: of multiprocessing's; it knows none.
        """
        if others or name != NAME or self._to_do is not None or not self.is_alive():
            return False
        if self._read != read_early(os.environ):
            return False
        with suppress(Exception):  # a queue, say, can only be given to a process that is just being started
            parallel = (kwargs or {})["vllm_config"].parallel_config
            if parallel.data_parallel_size == 1 and not getattr(parallel, "numa_bind", False):
                self._to_do = bytes(ForkingPickler.dumps((target, kwargs)))
        return self._to_do is not None

    def start(self) -> None:
        """Give it this process's environment and what it is to do."""
        self._ours.send((dict(os.environ), self._to_do))

    def let_go(self) -> None:
        """End it if it has nothing to do."""
        if self._to_do is None:
            self._ours.close()


class WithOneReady(SpawnContext):
    """multiprocessing's way to start fresh Pythons, the first of which is there already.

    Args:
        ready: that one.
    """

    def __init__(self, ready: EngineProcess) -> None:
        self._ready = ready

    def Process(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        """The ready one if it takes what is to be done, else another.

        Args:
            args: of multiprocessing's.
            kwargs: of multiprocessing's.
        """
        if not args and self._ready.takes(**kwargs):
            return self._ready
        self._ready.let_go()
        return SpawnProcess(*args, **kwargs)


def wants_one(worker_config: Any) -> bool:
    """Whether a rollout worker's engine is vLLM's on one GPU: one on several leaves them to processes of its own.

    Args:
        worker_config: ROLL's.
    """
    return bool(worker_config.strategy_args.strategy_name == "vllm" and worker_config.num_gpus_per_worker == 1)


@functools.cache
def engine_process() -> EngineProcess | None:
    """The process for this rollout worker's engine, started at the first call; None in other processes.

    `tau_retail_env.roll` asks for it before anything else is imported: the worker's own imports, of PyTorch,
    transformers and ROLL, take as long as most of the engine's.
    """
    if os.environ.pop(WANTED, None) is None:
        return None
    # A terminal's Ctrl-C reaches all processes of a group: Ray's ignore it, those that the engine starts would end.
    os.setpgrp()
    with suppress(OSError):
        return EngineProcess()
    return None


def use_for_the_engine(process: EngineProcess) -> None:
    """Have vLLM, which is imported for it, take this process for this one's engine.

    Args:
        process: started before; it ends where vLLM starts engines in another way.
    """
    utils: Any = importlib.import_module("vllm.v1.engine.utils")
    own: Callable[[], Any] | None = getattr(utils, "get_mp_context", None)
    if own is None:
        process.let_go()
        return

    def context() -> Any:
        chosen = own()
        return WithOneReady(process) if isinstance(chosen, SpawnContext) else chosen

    utils.get_mp_context = context


def set_by_roll() -> dict[str, str]:
    """The variables that ROLL sets for an engine when it wants one, and that are read early."""
    workspace = os.path.join(Path.home(), ".cache", os.environ.get("WORKER_NAME", ""))
    return {"PYTORCH_CUDA_ALLOC_CONF": "", "FLASHINFER_WORKSPACE_BASE": workspace}


def read_early(environment: Mapping[str, str]) -> dict[str, str]:
    """What of an environment is read early.

    Args:
        environment: by name.
    """
    return {name: value for name, value in environment.items() if name in READ_EARLY}


def _import_and_wait(theirs: Connection, early: Mapping[str, str], modules: Sequence[str]) -> None:
    os.environ.update(early)
    for module in modules:
        with suppress(Exception):
            importlib.import_module(module)
    with suppress(ImportError):  # finds the title's place, which it cannot once the environment has changed
        importlib.import_module("setproctitle").getproctitle()
    try:
        environment, to_do = theirs.recv()
    except EOFError:
        return
    os.environ.clear()
    os.environ.update(environment)
    target, kwargs = ForkingPickler.loads(to_do)
    target(**kwargs)
