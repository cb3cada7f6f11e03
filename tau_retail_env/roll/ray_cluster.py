"""A Ray of a run's own, begun before it is needed, which ends with the run and leaves no process behind."""

from __future__ import annotations

import ctypes
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tau_retail_env.models.shipped import PACKAGE_FOLDER
from tau_retail_env.roll.devices import environment_when_moved
from tau_retail_env.roll.nodes import SECRET, variables
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
BEGIN_LIMIT_S = 60.0
"""Seconds that are waited for a Ray which was begun ahead."""
HEAD = """
import sys
import ray

print(ray.init(address="local", include_dashboard=False, log_to_driver=False).address_info["address"], flush=True)
sys.stdin.read()
ray.shutdown()
"""
"""What holds a Ray that was begun ahead, until its input closes: so also when the run is killed."""
ADDRESS = re.compile(r"\S+:\d+")


class RayAhead:
    """Ray's own processes, which a Python of its own starts while the run still looks whether it can be."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._is_up = False
        self._began_with: dict[str, str] | None = None

    def begin(self, values: Mapping[str, Any]) -> None:
        """Start them; not where the run joins a cluster, nor with system_envs.

        ROLL adds system_envs to the run's own environment later, and environment workers get that by Ray's processes.

        Args:
            values: the configuration, as composed and checked.

        Raises:
            InvalidValueError: its GPUs cannot be had, and nothing is started.
        """
        if os.environ.get("RAY_ADDRESS") or values.get("system_envs"):
            return
        self._began_with = environment_when_moved(values)
        _adopt_orphans()
        with suppress(OSError):
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", HEAD],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=self._began_with,
                start_new_session=True,  # a terminal's Ctrl-C is the run's to answer
            )

    def address(self) -> str | None:
        """Wait until they are up.

        Returns:
            Where they are found; None where they were not begun, or failed: the run then starts its own, and hears why.
        """
        if self._process is None or self._process.stdout is None:
            return None
        is_told, _, _ = select.select([self._process.stdout], [], [], BEGIN_LIMIT_S)
        told = self._process.stdout.readline().strip() if is_told else ""
        self._is_up = bool(ADDRESS.fullmatch(told)) and self._process.poll() is None
        if not self._is_up:
            self.end()
        return told if self._is_up else None

    def set_since(self) -> dict[str, str]:
        """Variables that this process has got since they were begun, such as ROLL's folder of logs; no secrets."""
        before = os.environ if self._began_with is None else self._began_with
        return {
            name: value
            for name, value in os.environ.items()
            if before.get(name) != value and not any(word in name for word in SECRET)
        }

    def end(self) -> None:
        """End them, if they are there, and wait until they have ended."""
        import psutil  # type: ignore[import-untyped]

        process, self._process = self._process, None
        if process is None or process.stdin is None:
            return
        begun = []
        with suppress(psutil.Error):
            begun = psutil.Process(process.pid).children(recursive=True)
        process.stdin.close()
        if not self._is_up:  # it would look at its input only then
            process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_LIMIT_S)
        process.kill()
        process.wait()
        end_all(begun)


@contextmanager
def ray_ahead() -> Iterator[RayAhead]:
    """A Ray that may be begun within, and ends at the latest where that is left."""
    ahead = RayAhead()
    try:
        yield ahead
    finally:
        with _uninterrupted():
            ahead.end()


@contextmanager
def ray_of_its_own(say: Callable[[str], None], ahead: RayAhead) -> Iterator[Mapping[str, float]]:
    """Ray for one run: begun ahead or started here, without its dashboard, and ended with everything that it started.

    With RAY_ADDRESS the run joins that cluster, of several machines perhaps, and leaves it running. SIGTERM ends a
    run as the handler before says, by an exception where there is none.

    Args:
        say: takes each line for the screen.
        ahead: what was begun.

    Yields:
        What it has: GPUs, processors, memory.
    """
    import ray
    from roll.utils.constants import RAY_NAMESPACE

    before = signal.getsignal(signal.SIGTERM)
    handler = before if callable(before) else terminate
    signal.signal(signal.SIGTERM, handler)
    _adopt_orphans()
    try:
        found = os.environ.get("RAY_ADDRESS") or ahead.address()
        own = {} if found else {"include_dashboard": False}  # it would start nine Pythons, and be waited for
        ray.init(
            address=found or "local",
            namespace=RAY_NAMESPACE,
            runtime_env={"env_vars": worker_variables(ahead.set_since())},
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
            ahead.end()
            if left := end_descendants():
                say(f"[tau-retail] ended {left} processes that Ray had left behind")
        signal.signal(signal.SIGTERM, before)


def worker_variables(set_since: Mapping[str, str]) -> dict[str, str]:
    """Environment variables of every worker: ROLL's, ours, and over both what the driver's shell sets.

    Args:
        set_since: what else the driver has and Ray's processes, whose environment workers get, have not.
    """
    from roll.platforms import current_platform

    inherited = variables(os.environ) | {name: os.environ[name] for name in ("PYTHONPATH", RUN_VARIABLE)}
    return {**set_since, **current_platform.get_custom_env_vars(), **QUIET, **PATIENT, **inherited}


def end_descendants() -> int:
    """End every process that descends from this one.

    Returns:
        How many had to be ended.
    """
    import psutil  # type: ignore[import-untyped]

    return end_all(psutil.Process().children(recursive=True))


def end_all(processes: Iterable[Any]) -> int:
    """End processes that do not end by themselves.

    Args:
        processes: psutil's.

    Returns:
        How many had to be ended.
    """
    import psutil  # type: ignore[import-untyped]

    _, left = psutil.wait_procs([one for one in processes if _is_running(one)], timeout=ENDING_S)
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
