"""Start ROLL's AgenticPipeline with a checked configuration, on a Ray of its own that ends with it."""

from __future__ import annotations

import ctypes
import importlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from tau_retail_env.config import to_yaml
from tau_retail_env.config.roll import RollConfig, fit_groups, roll_values
from tau_retail_env.errors import InvalidValueError, MissingDependencyError, TauRetailError
from tau_retail_env.models.shipped import PACKAGE_FOLDER
from tau_retail_env.roll import tracking
from tau_retail_env.roll.dump import trajectories_folder
from tau_retail_env.roll.run_folder import claim, remove_empty_folders
from tau_retail_env.roll.summary import summarise
from tau_retail_env.roll.surroundings import check_cluster, check_surroundings, roll_folder
from tau_retail_env.runs.files import WriteError
from tau_retail_env.runs.folder import RunFolder
from tau_retail_env.runs.trackers import HOSTED, run_arguments
from tau_retail_env.users.llm.budget import RUN_VARIABLE, begin_run

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
"""Environment variables of the driver and of every worker: nothing is reported to anybody."""
WORKERS = {
    "actor_train": "workers.LearningActor",
    "critic": "workers.LearningCritic",
    "reference": "workers.Reference",
    "actor_infer": "workers.RolloutWorker",
    "train_env_manager": "environment_worker.TauRetailEnvironmentWorker",
    "val_env_manager": "environment_worker.TauRetailEnvironmentWorker",
}
"""Which of our workers a role has."""
IMPORTED_IN_WORKERS = ("workers", "environment_worker", "env_manager", "group_filter")
"""Our modules that ROLL imports in its actors by name; what they fail with it logs there, and goes on with None."""
TERMINATED = 143
LOOPBACK = "127.0.0.1"
SET_CHILD_SUBREAPER = 36
ENDING_S = 5.0
"""Seconds that processes have to end by themselves when Ray does."""
STOP_LIMIT_S = 20.0
"""Seconds that processes have to end when told."""


def train(config: RollConfig, values: Mapping[str, Any], *, say: Callable[[str], None] = print) -> None:
    """Train with ROLL, from a new folder or from a checkpoint.

    Args:
        config: the configuration, checked.
        values: the same as composed; ROLL reads it.
        say: takes each line for the screen.

    Raises:
        TauRetailError: something that the run needs is not here, and no GPU has been touched; or the disk is full.
    """
    with claim(config, values) as folder:
        try:
            _train_in(folder, config, values, say)
        except WriteError as error:
            if not folder.config.is_file():
                raise
            raise TauRetailError(f"{error}. Mend that, then go on with: resume={folder.path}") from error


def _train_in(folder: RunFolder, config: RollConfig, values: Mapping[str, Any], say: Callable[[str], None]) -> None:
    begin_run()
    attention = ((values.get("actor_train") or {}).get("model_args") or {}).get("attn_implementation")
    counts = check_surroundings(config, attention=attention)
    for words, tags in (("training", config.train_tags), ("validation", config.val_tags)):
        say(f"[tau-retail] {words}: {', '.join(f'{tag} ({counts[tag]} tasks)' for tag in tags)}")
    os.environ.update(QUIET)
    os.environ["PYTHONPATH"] = python_path()
    os.environ["ROLL_LOG_DIR"] = str(folder.path / "logs")
    roll_config = agentic_config(fit_groups(values, counts), folder)
    import_what_workers_import()
    folder.open(to_yaml(values))
    if folder.checkpoint:
        say(f"[tau-retail] going on after ROLL's step {folder.step}, from {folder.checkpoint}")
    say(f"[tau-retail] writing to {folder.path}")
    tracking.register()
    with ray_of_its_own(say) as resources:
        check_cluster(config, resources)
        run_pipeline(roll_config)
    remove_empty_folders(folder.path)
    for line in summarise(folder, trajectories_folder(roll_config), title=config.exp_name):
        say(line)
    say(f"everything lies in {folder.path}")


def agentic_config(values: Mapping[str, Any], folder: RunFolder) -> Any:
    """ROLL's own configuration object.

    ROLL adds the time to some folders: those of checkpoints and TensorBoard are set again afterwards, so that a resumed
    run finds them, and ROLL's removal of old checkpoints as well.

    Args:
        values: as composed and checked.
        folder: where everything goes.

    Raises:
        InvalidValueError: ROLL itself refuses it.
    """
    from dacite import DaciteError, from_dict  # type: ignore[import-not-found]
    from roll.pipeline.agentic.agentic_config import AgenticConfig

    settings = roll_values(values)
    path = folder.path
    settings |= {
        "output_dir": str(path),
        "base_dir": str(path),
        "logging_dir": str(path / "logs"),
        "profiler_output_dir": str(path / "profiler"),
        "length_profiler_dir": str(path / "profiler"),
        "resume_from_checkpoint": str(folder.checkpoint) if folder.checkpoint else False,
    }
    for role, name in WORKERS.items():
        if role in settings:
            settings[role] = settings[role] | {"worker_cls": f"tau_retail_env.roll.{name}"}
    try:
        config = from_dict(AgenticConfig, settings)
    except (DaciteError, AssertionError, ValueError, TypeError, NotImplementedError) as error:
        raise InvalidValueError(f"ROLL refuses the configuration: {error}") from error
    config.checkpoint_config["output_dir"] = str(folder.checkpoints)
    inner = dict(config.tracker_kwargs)
    if config.track_with == "tensorboard":
        inner["log_dir"] = str(path / "tensorboard")
    elif config.track_with in HOSTED:
        inner = run_arguments(config.track_with, path.name, inner)
    config.tracker_kwargs = {"path": str(folder.metrics), "tracker": config.track_with, "tracker_kwargs": inner}
    config.track_with = tracking.NAME
    return config


def import_what_workers_import() -> None:
    """Import here what ROLL's actors will import, before any of them starts.

    Raises:
        MissingDependencyError: a module is missing, or one of another version is there.
    """
    for name in IMPORTED_IN_WORKERS:
        try:
            importlib.import_module(f"tau_retail_env.roll.{name}")
        except ImportError as error:
            missing = f"the module {error.name!r}" if error.name else "a module"
            raise MissingDependencyError(
                f"ROLL's workers import {missing}, which is missing here or of another version ({error}): "
                "install requirements-roll.txt; tau-retail doctor compares what is installed with it"
            ) from error


def run_pipeline(roll_config: Any) -> None:
    """Make ROLL's pipeline and run it to its last step; its tracker is closed whatever happens."""
    from roll.pipeline.agentic.agentic_pipeline import AgenticPipeline

    pipeline = AgenticPipeline(pipeline_config=roll_config)
    try:
        pipeline.run()
    finally:
        pipeline.executor.shutdown(wait=False, cancel_futures=True)
        pipeline.tracker.finish()


@contextmanager
def ray_of_its_own(say: Callable[[str], None]) -> Iterator[Mapping[str, float]]:
    """Ray for one run: started here, on loopback, and ended with everything that it started.

    With RAY_ADDRESS the run joins that cluster, of several machines perhaps, and leaves it running. SIGTERM ends a
    run as Ctrl-C does.

    Args:
        say: takes each line for the screen.

    Yields:
        What it has: GPUs, processors, memory.
    """
    import ray
    from roll.platforms import current_platform
    from roll.utils.constants import RAY_NAMESPACE

    joined = os.environ.get("RAY_ADDRESS")
    own = {} if joined else {"dashboard_host": LOOPBACK}
    inherited = {name: os.environ[name] for name in ("PYTHONPATH", RUN_VARIABLE)}
    variables = {**current_platform.get_custom_env_vars(), **QUIET, **inherited}
    before = signal.signal(signal.SIGTERM, _terminated)
    _adopt_orphans()
    try:
        ray.init(
            address=joined or "local",
            namespace=RAY_NAMESPACE,
            runtime_env={"env_vars": variables},
            log_to_driver=True,
            **own,
        )
        signal.signal(signal.SIGTERM, _terminated)  # Ray has put a handler of its own there, which aborts
        yield ray.cluster_resources()
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with _uninterrupted():
            ray.shutdown()
            if left := end_descendants():
                say(f"[tau-retail] ended {left} processes that Ray had left behind")
        signal.signal(signal.SIGTERM, before)


def end_descendants() -> int:
    """End every process that descends from this one.

    Returns:
        How many had to be told.
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


def _terminated(number: int, frame: FrameType | None) -> None:
    raise SystemExit(TERMINATED)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """A second Ctrl-C does not stop the clean-up."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
