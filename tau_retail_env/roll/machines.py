"""What each machine of a cluster sees and has, asked before a run over several of them loads anything."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.models.shipped import PACKAGE_FOLDER, checkpoint
from tau_retail_env.roll.config.check import RollConfig
from tau_retail_env.roll.engines import CACHE
from tau_retail_env.roll.preflight import ASK_FOR_CARDS, check_memory, smallest_card_gib, smallest_of
from tau_retail_env.sources.tau2.editions import REPOSITORIES
from tau_retail_env.sources.tau_bench.tasks import PATH_VARIABLE

CHECKOUTS = (PATH_VARIABLE, *(repository.variable for repository in REPOSITORIES.values()))
"""Variables that name folders of tasks."""
CACHES = ("HF_HOME", "HF_HUB_CACHE")
"""Variables that name the folder from which a model with a name of the Hugging Face Hub is read."""
MODELS = ("pretrain", "reward_pretrain")
"""Keys that name models which workers load."""
ALIKE_GIB = 1.0
"""GiB by which cards of one size may differ."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine of the cluster, as a task on it found it."""

    address: str
    """Where it is in the network."""
    missing: tuple[str, ...]
    """Paths that were asked for and are not there."""
    card_gib: float | None
    """GiB of its smallest GPU; None without nvidia-smi."""


def check_machines(config: RollConfig, values: Mapping[str, Any], output_dir: Path) -> None:
    """Refuse a cluster of which a machine does not see what all must share, or has too small a card.

    Args:
        config: the checked configuration.
        values: the same as composed.
        output_dir: the run's folder.

    Raises:
        InvalidValueError: names each machine and what it does not see, or the one with the smallest card.
    """
    written = {"output_dir": output_dir}
    if given := values.get("rollout_dump_dir"):
        written["rollout_dump_dir"] = Path(given).absolute()
    check_cards(values, check_shared(written, needed(config, values)))


def needed(config: RollConfig, values: Mapping[str, Any]) -> dict[str, str]:
    """Files and folders that workers on all machines read.

    Args:
        config: the checked configuration.
        values: the same as composed.

    Returns:
        By path what names it: a key, a variable of the environment, or the package.
    """
    models = {name: checkpoint(values[name]) for name in MODELS if values.get(name)}
    folders = {name: model for name, model in models.items() if Path(model).exists()}
    variables = (*CHECKOUTS, *(CACHES if len(folders) < len(models) else ()))
    named = {name: os.environ[name] for name in variables if os.environ.get(name)}
    files = {
        f"custom_envs.{tag}.env_config.task_file": env.task_file
        for tag in dict.fromkeys(config.train_tags + config.val_tags)
        if (env := config.custom_envs[tag].env_config).task_file
    }
    # What is not here either has been refused, or is not needed.
    seen = {name: path for name, path in (named | files | folders).items() if Path(path).exists()}
    return {path: name for name, path in ({"this package": str(PACKAGE_FOLDER)} | seen).items()}


def check_shared(written: Mapping[str, Path], read: Mapping[str, str]) -> list[Machine]:
    """Refuse a cluster whose machines do not all see what they must share.

    Args:
        written: folders into which workers of all machines write, by what names them; made where they are not there.
        read: what names each file or folder that workers of all machines read, by its path.

    Returns:
        The machines.

    Raises:
        InvalidValueError: names each machine and what it does not see.
    """
    mark = f".seen_by_all_{uuid.uuid4().hex}"
    marks = {str(folder / mark): (name, folder) for name, folder in written.items()}
    try:
        for path in marks:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).touch()
        machines = list(_asked([*marks, *read]))
    finally:
        for path in marks:
            Path(path).unlink(missing_ok=True)
    names = {path: (name, path) for path, name in read.items()} | marks
    lines = [
        f"machine {machine.address} does not see {names[path][1]} ({names[path][0]})"
        for machine in machines
        for path in machine.missing
    ]
    if lines:
        raise InvalidValueError(
            f"{'; '.join(lines)}: every machine of a cluster needs these under the same path. Have them on a disk that "
            "all share (NFS, Lustre …), output_dir, too, into which all write checkpoints; and unset a variable that "
            "this run does not need"
        )
    return machines


def check_cards(values: Mapping[str, Any], machines: Iterable[Machine]) -> None:
    """Refuse a run that cannot fit on the cluster's smallest card.

    Args:
        values: the configuration as composed and checked.
        machines: of the cluster.

    Raises:
        InvalidValueError: names the machine.
    """
    cards = [(machine.card_gib, machine.address) for machine in machines if machine.card_gib is not None]
    if not cards:
        return
    card_gib, address = min(cards)
    check_memory(values, card_gib, f" of machine {address}, whose card is the smallest")
    here = smallest_card_gib()
    has_own_cache = CACHE in (values["actor_infer"]["strategy_args"].get("strategy_config") or {})
    if here is None or card_gib > here - ALIKE_GIB or values.get("engines_per_gpu", 1) == 1 or has_own_cache:
        return
    raise InvalidValueError(
        f"engines_per_gpu: the engines' caches are as large as cards of {here:.0f} GiB allow, which this machine has, "
        f"but machine {address} has one of {card_gib:.0f} GiB: start the run there, or set it to 1"
    )


def alive() -> dict[str, str]:
    """Machines of the cluster: their addresses by Ray's name."""
    import ray

    return {one["NodeID"]: one["NodeManagerAddress"] for one in ray.nodes() if one["Alive"]}


def _asked(paths: list[str]) -> Iterator[Machine]:
    """Every machine, asked by a task on it which paths are missing and what cards it has."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    def look(paths: list[str], command: list[str]) -> tuple[list[str], str]:
        # A function within this one: Ray sends it also to machines without this package.
        try:
            said = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
        except (OSError, subprocess.SubprocessError):
            said = ""
        return [path for path in paths if not os.path.exists(path)], said

    machines, task = alive(), ray.remote(look)
    looks = [
        task.options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node_id=name, soft=False)).remote(
            paths, ASK_FOR_CARDS
        )
        for name in machines
    ]
    for address, (missing, said) in zip(machines.values(), ray.get(looks), strict=True):
        yield Machine(address, tuple(missing), smallest_of(said))
