"""ROLL's own configuration object of a run: our workers in its roles, and every path in the run's folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.roll import tracking
from tau_retail_env.roll.config.check import roll_values
from tau_retail_env.roll.engine_ahead import WANTED, wants_one
from tau_retail_env.roll.requests import PROXY
from tau_retail_env.roll.trajectory_writer import trajectories_folder
from tau_retail_env.runs.folder import RunFolder
from tau_retail_env.runs.trackers import HOSTED, run_arguments

WORKERS = {
    "actor_train": "workers.LearningActor",
    "critic": "workers.LearningCritic",
    "reference": "workers.Reference",
    "actor_infer": "workers.RolloutWorkers",
    "train_env_manager": "environment_worker.TauRetailEnvironmentWorkers",
    "val_env_manager": "environment_worker.TauRetailEnvironmentWorkers",
}
"""Which of our workers a role has; of those in the plural, all start at once."""
RESERVED_CALLS = 64
"""Calls of an engine's worker that must get through, such as the one that wakes it, while all environments wait."""

SIGNAL = "tau_retail_env.roll.group_filter.SignalFilter"
"""What looks at the groups of training; it drops none."""


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
    settings["train_env_manager"] = settings["train_env_manager"] | {"group_filter_cls": SIGNAL}
    try:
        config = from_dict(AgenticConfig, settings)
    except (DaciteError, AssertionError, ValueError, TypeError, NotImplementedError) as error:
        raise InvalidValueError(f"ROLL refuses the configuration: {error}") from error
    if "router_args" not in settings:
        ask_the_engine_directly(config)
    if wants_one(config.actor_infer):
        config.actor_infer.system_envs = {**config.actor_infer.system_envs, WANTED: "1"}
    config.checkpoint_config["output_dir"] = str(folder.checkpoints)
    inner = dict(config.tracker_kwargs)
    if config.track_with == "tensorboard":
        inner["log_dir"] = str(path / "tensorboard")
    elif config.track_with in HOSTED:
        inner = run_arguments(config.track_with, path.name, inner)
    config.tracker_kwargs = {
        "path": str(folder.metrics),
        "tracker": config.track_with,
        "tracker_kwargs": inner,
        "episodes": str(trajectories_folder(config)),
    }
    config.track_with = tracking.NAME
    return config


def ask_the_engine_directly(config: Any) -> None:
    """Have environments ask vLLM's workers without ROLL's router between.

    Not where the actor learns on a part of the engine's GPUs while the rest plays on: there the router moves them.

    Args:
        config: ROLL's, which is changed.
    """
    learning, playing = set(config.actor_train.device_mapping), set(config.actor_infer.device_mapping)
    if config.actor_infer.strategy_args.strategy_name != "vllm" or learning < playing:
        return
    managers = (config.train_env_manager, config.val_env_manager)
    for manager in managers:
        manager.llm_proxy.proxy_type = PROXY
    asking = sum(manager.num_env_groups * manager.group_size for manager in managers)
    config.actor_infer.max_concurrency = max(config.actor_infer.max_concurrency, asking + RESERVED_CALLS)
