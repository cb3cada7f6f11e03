"""Copies of an environment, in the middle of an episode too: what belongs to the episode is copied, the rest shared.

A copy in this process shares with its original what never changes: shop, database, tasks. A pickle names these, and
whoever reads it finds them by their names.
"""

from __future__ import annotations

import copy
import functools
import io
import pickle
import threading
from collections.abc import Mapping
from typing import Any, TypeVar

from tau_retail_env.sources import Source, get_source
from tau_retail_env.sources.load import shared_tasks
from tau_retail_env.tasks import Task

Env = TypeVar("Env")
Shared = Mapping[str, Any]
"""What is not copied, by the name that stands for it in a pickle."""


def copied(state: Mapping[str, Any], shared: Shared, memo: dict[int, Any]) -> dict[str, Any]:
    """An independent copy of a state.

    Args:
        state: attributes by name.
        shared: what the copy shares with it.
        memo: that of `copy.deepcopy`.
    """
    memo.update({id(one): one for one in shared.values()})
    return copy.deepcopy(dict(state), memo)


def to_bytes(state: Mapping[str, Any], shared: Shared) -> bytes:
    """A state as a pickle in which names stand for what is shared."""
    file = io.BytesIO()
    _Pickler(file, shared).dump(dict(state))
    return file.getvalue()


def from_bytes(data: bytes, shared: Shared) -> dict[str, Any]:
    """The state that `to_bytes` wrote.

    Args:
        data: what it returned.
        shared: what the names stand for here.
    """
    state: dict[str, Any] = _Unpickler(io.BytesIO(data), shared).load()
    return state


def made(kind: type[Env], state: Mapping[str, Any]) -> Env:
    """An environment of a class with a state, and a lock of its own."""
    env = object.__new__(kind)
    vars(env).update(state, _in_use=threading.Lock())
    return env


def unpickled(
    kind: type[Env],
    origin: tuple[str, str | None, str],
    selection: tuple[str, str, tuple[str, ...]] | None,
    place: int | None,
    data: bytes,
) -> Env:
    """An environment from its pickle.

    Args:
        kind: its class.
        origin: name, version and domain of its source.
        selection: split and subset of its tasks, and the ids left out; None where the pickle holds them.
        place: of the episode's task among those of the selection; None where no episode has begun.
        data: what `to_bytes` wrote.
    """
    source = get_source(*origin)
    shared = {"source": source, "shop": source.shop(), "database": source.shop().database}
    if selection is not None:
        tasks = _tasks(source, *selection)
        shared |= {"tasks": tasks} | ({"task": tasks[place]} if place is not None else {})
    return made(kind, from_bytes(data, shared))


@functools.lru_cache(maxsize=64)
def _tasks(source: Source, split: str, task_subset: str, exclude_tasks: tuple[str, ...]) -> tuple[Task, ...]:
    return shared_tasks(source.name, split, task_subset, source.version, source.domain, exclude_tasks=exclude_tasks)


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, shared: Shared) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self._names = {id(one): name for name, one in shared.items()}

    def persistent_id(self, obj: Any) -> str | None:
        return self._names.get(id(obj))


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, shared: Shared) -> None:
        super().__init__(file)
        self._shared = shared

    def persistent_load(self, pid: Any) -> Any:
        return self._shared[pid]
