"""Workers of a role that start at once: ROLL waits for the first one's address before it starts the others."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

import ray
from ray.runtime_env import RuntimeEnv
from roll.distributed.executor.worker import Worker
from roll.distributed.scheduler.storage import SharedStorage
from roll.utils.constants import RAY_NAMESPACE, STORAGE_NAME

PORT = "TAU_RETAIL_FIRST_PORT"
"""Environment variable of a role's first worker: the port that was drawn for it."""


class TakesItsPort(Worker):
    """A worker that takes the port which was drawn for it, where one was."""

    @staticmethod
    def get_free_port() -> int:
        """The port that was drawn for this worker, the first time it is asked for one; then ROLL's."""
        given = os.environ.pop(PORT, None)
        return int(Worker.get_free_port() if given is None else given)


def started_at_once(worker_class: type[TakesItsPort], *, begun_ahead: bool = False) -> Any:
    """An actor class, which ROLL takes for a role's `worker_cls`, whose workers need not wait for the first of them.

    A worker stands when it has imported PyTorch, transformers and ROLL. The others get the first one's address and
    port, which ROLL asks of it. On one machine both are known before: the address is the machine's, and the port is
    drawn as the worker would, by ROLL's function that gives no port twice. On several machines it is ROLL's way.

    Not for learners: PyTorch listens on their port, which would be drawn longer before.

    Args:
        worker_class: of the role.
        begun_ahead: whether another process of the run may have made the role, too: a worker that is there by its name
            is then taken, and none is made.
    """
    actors: Any = ray.remote(worker_class)
    plain = actors.options
    actors.options = lambda **options: _Options(plain, options, begun_ahead)
    return actors


def begin_storage() -> Any:
    """Begin the actor that knows which ports were given, for which the first worker of a role would wait.

    Returns:
        The actor, which ends with the last reference to it.
    """
    return SharedStorage.options(name=STORAGE_NAME, get_if_exists=True, namespace=RAY_NAMESPACE).remote()


class _Options:
    """What `options` of an actor class gives.

    Args:
        plain: Ray's `options`.
        options: of one worker.
        begun_ahead: see `started_at_once`.
    """

    def __init__(self, plain: Any, options: dict[str, Any], begun_ahead: bool) -> None:
        self._plain = plain
        self._options = {**options, "get_if_exists": True} if begun_ahead else options
        self._begun_ahead = begun_ahead

    def remote(self, **given: Any) -> Any:
        """Start the worker; where it is the first of several, its address is there at once.

        Args:
            given: to its class.
        """
        if self._begun_ahead:
            with suppress(ValueError):  # there is none
                return ray.get_actor(self._options["name"], self._options["namespace"])
        variables = self._options["runtime_env"]["env_vars"]
        is_first = variables["RANK"] == "0" and variables["WORLD_SIZE"] != "1"
        if not is_first or sum(node["Alive"] for node in ray.nodes()) != 1:
            return self._plain(**self._options).remote(**given)
        address, port = Worker.get_node_ip(), int(Worker.get_free_port())
        runtime = RuntimeEnv(env_vars={**variables, PORT: str(port)})
        worker = self._plain(**{**self._options, "runtime_env": runtime}).remote(**given)
        worker.get_master_addr_and_port = _Known((address, port))
        return worker


class _Known:
    """A worker's method of which the answer is known.

    Args:
        answer: its.
    """

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def remote(self) -> Any:
        """The answer, as Ray gives it."""
        return ray.put(self._answer)
