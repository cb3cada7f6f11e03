"""A Ray of a run's own, which ends with it and leaves no process behind."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tau_retail_env.models.shipped import PACKAGE_FOLDER
from tau_retail_env.roll.nodes import variables
from tau_retail_env.roll.preflight import roll_folder
from tau_retail_env.runs.interruption import terminate
from tau_retail_env.users.llm.budget import RUN_VARIABLE

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
"""Environment variables of the driver and of every worker: nothing is reported to anybody."""
PATIENT = {"RAY_get_check_signal_interval_milliseconds": "1000"}
"""Ray's own default. With ROLL's value, 1, each thread that waits in ray.get wakes up 1,000 times a second: 256
environments that waited for their engines used 4 processors (docs/runs/roll_shorter)."""
SET_CHILD_SUBREAPER = 36
ENDING_S = 5.0
"""Seconds that processes have to end by themselves when Ray does."""
STOP_LIMIT_S = 20.0
"""Seconds that processes have to end after SIGTERM."""


@contextmanager
def ray_of_its_own(say: Callable[[str], None]) -> Iterator[Mapping[str, float]]:
    """Ray for one run: started here, without its dashboard, and ended with everything that it started.

    With RAY_ADDRESS the run joins that cluster, of several machines perhaps, and leaves it running. SIGTERM ends a
    run as the handler before says, by an exception where there is none.

    Args:
        say: takes each line for the screen.

    Yields:
        What it has: GPUs, processors, memory.
    """
    import ray
    from roll.utils.constants import RAY_NAMESPACE

    joined = os.environ.get("RAY_ADDRESS")
    own = {} if joined else {"include_dashboard": False}  # it would start nine Pythons, and be waited for
    before = signal.getsignal(signal.SIGTERM)
    handler = before if callable(before) else terminate
    signal.signal(signal.SIGTERM, handler)
    _adopt_orphans()
    try:
        ray.init(
            address=joined or "local",
            namespace=RAY_NAMESPACE,
            runtime_env={"env_vars": worker_variables()},
            log_to_driver=True,
            **own,
        )
        signal.signal(signal.SIGTERM, handler)  # Ray has put a handler of its own there, which aborts
        yield ray.cluster_resources()
    finally:
        # Not even a second SIGTERM stops the clean-up.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with _uninterrupted():
            ray.shutdown()
            if left := end_descendants():
                say(f"[tau-retail] ended {left} processes that Ray had left behind")
        signal.signal(signal.SIGTERM, before)


def worker_variables() -> dict[str, str]:
    """Environment variables of every worker: ROLL's, ours, and over both what the driver's shell sets."""
    from roll.platforms import current_platform

    inherited = variables(os.environ) | {name: os.environ[name] for name in ("PYTHONPATH", RUN_VARIABLE)}
    return {**current_platform.get_custom_env_vars(), **QUIET, **PATIENT, **inherited}


def end_descendants() -> int:
    """End every process that descends from this one.

    Returns:
        How many had to be ended.
    """
    import psutil  # type: ignore[import-untyped]

    found = [one for one in psutil.Process().children(recursive=True) if _is_running(one)]
    _, left = psutil.wait_procs(found, timeout=ENDING_S)
    for process in left:
        with suppress(psutil.Error):
            process.terminate()
    _, deaf = psutil.wait_procs(left, timeout=STOP_LIMIT_S)
    for process in deaf:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(deaf, timeout=STOP_LIMIT_S)
    return len(left)


def python_path() -> str:
    """PYTHONPATH of the workers: this package, ROLL, and what was there before."""
    folders = [str(PACKAGE_FOLDER.parent), str(roll_folder().parent)]
    folders += [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]
    return os.pathsep.join(dict.fromkeys(str(Path(folder).resolve()) for folder in folders))


def _is_running(process: Any) -> bool:
    import psutil  # type: ignore[import-untyped]

    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _adopt_orphans() -> None:
    """Make Linux hand processes whose parent has ended to this one, so that they are found at the end."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(SET_CHILD_SUBREAPER, 1, 0, 0, 0)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """A second Ctrl-C does not stop the clean-up, nor does a terminal that closes."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
