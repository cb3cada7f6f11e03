"""The tasks of a run: loaded where they are counted, and handed to the environment workers."""

from __future__ import annotations

import gc
import os
import pickle
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from tau_retail_env.roll.config.check import RollConfig
from tau_retail_env.sources import load_tasks
from tau_retail_env.sources.load import bring_tasks, stamped

KEY = "tau_retail_tasks"
"""Under what ROLL's storage, an actor of Ray's, has where the tasks of each tag lie."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The tasks of a tag."""

    number: int
    """How many there are."""
    pickled: bytes = b""
    """The arguments of `bring_tasks`; empty where they cannot be pickled."""


def load(config: RollConfig, tag: str) -> Loaded:
    """Load the tasks of a tag.

    Args:
        config: the checked configuration.
        tag: a block under custom_envs.

    Raises:
        TauRetailError: see `load_tasks`.
    """
    env = config.custom_envs[tag].env_config
    chosen = (env.source, env.split, env.task_subset, env.task_version)
    file = stamped(env.task_file)
    with collector_paused():
        tasks = load_tasks(*chosen, exclude_tasks=env.exclude_tasks, task_file=env.task_file)
        named = {"exclude_tasks": env.exclude_tasks, "file": file}
        with suppress(Exception):  # a source of one's own may have what pickle does not write
            return Loaded(len(tasks), pickle.dumps((tasks, chosen, named), pickle.HIGHEST_PROTOCOL))
    return Loaded(len(tasks))


@contextmanager
def memory_files(tags: Iterable[str]) -> Iterator[dict[str, int]]:
    """Open files in memory that processes forked within have, too; nothing is left of them when all have ended.

    The pipe of a pool of processes is for numbers alone: where one ends while it writes what a pipe does not hold, the
    pool waits for the rest for ever.

    Args:
        tags: each gets one.

    Yields:
        File descriptors by tag.
    """
    files = {tag: os.memfd_create("tasks") for tag in tags}
    try:
        yield files
    finally:
        for file in files.values():
            os.close(file)


def load_into(files: Mapping[str, int], config: RollConfig, tag: str) -> int:
    """`load` in a forked process.

    Args:
        files: of `memory_files`; the tasks are written to the tag's.
        config: see `load`.
        tag: see there.

    Returns:
        How many tasks there are.

    Raises:
        TauRetailError: see `load_tasks`.
    """
    loaded = load(config, tag)
    try:
        with open(files[tag], "wb", closefd=False) as file:
            file.write(loaded.pickled)
    except OSError:  # no memory for them: environment workers load them then
        os.ftruncate(files[tag], 0)
    return loaded.number


def read(file: int) -> bytes:
    """What another process has written to a file in memory.

    Args:
        file: its descriptor.
    """
    with open(file, "rb", closefd=False) as opened:
        opened.seek(0)
        return opened.read()


def hand_out(storage: Any, loaded: dict[str, Loaded]) -> None:
    """Put tasks where environment workers on all machines find them.

    Args:
        storage: ROLL's.
        loaded: the tasks of each tag; empty afterwards, since they take up memory.
    """
    import ray

    # Only where they lie goes through the storage, which serves one worker after another.
    storage.put.remote(KEY, {tag: ray.put(tasks.pickled) for tag, tasks in loaded.items() if tasks.pickled})
    loaded.clear()


def take(tags: Iterable[str]) -> None:
    """Take the tasks that were handed out, so that an environment made in this process finds them loaded.

    Args:
        tags: of the environments.
    """
    import ray
    from roll.utils.constants import RAY_NAMESPACE, STORAGE_NAME

    if not ray.is_initialized():  # to ask for an actor would start one
        return
    storage = ray.get_actor(STORAGE_NAME, RAY_NAMESPACE)
    handed_out = ray.get(storage.get.remote(KEY)) or {}
    for tag in handed_out.keys() & set(tags):
        bring(ray.get(handed_out[tag]))


def bring(pickled: bytes) -> None:
    """Have an environment that is made in this process find tasks loaded.

    Args:
        pickled: as `Loaded` has it.
    """
    with collector_paused():
        tasks, chosen, named = pickle.loads(pickled)
    bring_tasks(tasks, *chosen, **named)


@contextmanager
def collector_paused() -> Iterator[None]:
    """Leave out Python's garbage collector while many objects are made that stay: it would look at all of the process
    again and again, of which a process that has imported PyTorch has 500,000."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
