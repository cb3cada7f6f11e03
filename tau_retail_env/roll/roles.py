"""Roles that start beside one another: ROLL makes one after another, and loads their models one after another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import ray
from roll.distributed.executor.cluster import Cluster
from roll.pipeline import base_pipeline
from roll.pipeline.agentic import agentic_pipeline

STORE = "init_transfer_backend"
"""ROLL's function that starts an actor of Ray's before it makes the roles, and waits for its process."""


def roles_of(config: Any) -> list[Any]:
    """The roles that ROLL's AgenticPipeline makes in any case.

    Args:
        config: ROLL's AgenticConfig.

    Returns:
        ROLL's WorkerConfig of each.
    """
    roles = [config.actor_train, config.actor_infer]
    if config.enable_reference:
        # ROLL v0.2.1 knows of one alone.
        roles += config.reference_configs.values() if hasattr(config, "reference_configs") else [config.reference]
    if config.adv_estimator == "gae":
        roles.append(config.critic)
    return roles


@contextmanager
def made_at_once(config: Any, make: Callable[..., Any] = Cluster) -> Iterator[None]:
    """Have ROLL's pipeline, which is made meanwhile, find the roles made that it asks for one by one.

    A role's first process stands when it has imported PyTorch, Ray, transformers and ROLL, and only then its others
    start, since they need its address. Roles need nothing of one another. At the pipeline's first wish for a role all
    are begun, on a thread each; what fails in one fails where the pipeline asks for that role. A role that is not
    among `roles_of` (ROLL's reward workers) is made when it is asked for. The actor by which ROLL's processes find how
    batches travel starts beside them.

    Args:
        config: ROLL's AgenticConfig.
        make: makes a role.
    """
    begun: dict[str, Future[Any]] = {}

    def role(*, name: str, worker_cls: Any, resource_manager: Any, worker_config: Any) -> Any:
        if not begun:
            begun.update(
                (one.name, _begin(make, one.name, one.worker_cls, resource_manager, one)) for one in roles_of(config)
            )
        if name in begun:
            return begun[name].result()
        return make(name, worker_cls, resource_manager, worker_config)

    stored: list[Future[Any]] = []
    store = getattr(base_pipeline, STORE, None)  # ROLL v0.2.1 has none
    agentic_pipeline.Cluster = role
    if store is not None:
        setattr(base_pipeline, STORE, lambda *given: stored.append(_begin(store, *given)))
    try:
        yield
        for one in stored:
            one.result()
    finally:
        agentic_pipeline.Cluster = Cluster
        if store is not None:
            setattr(base_pipeline, STORE, store)


def load_together(first: Any, others: Collection[Any]) -> None:
    """Have roles load their models while the first one does, not when ROLL comes to them; it waits for all of them.

    Args:
        first: ROLL's cluster that is initialized first.
        others: clusters that need nothing of those which ROLL initializes before them.
    """
    load = first.initialize

    def initialize(*, pipeline_config: Any, blocking: bool = True) -> list[Any]:
        first.initialize = load
        begun = [
            answer
            for one in (first, *others)
            for answer in one.initialize(pipeline_config=pipeline_config, blocking=False)
        ]
        for one in others:
            one.initialize = lambda **_: []
        return list(ray.get(begun)) if blocking else begun

    first.initialize = initialize


def tell_of_engines(learners: Any, engines: Any, reached: Callable[[str], None]) -> None:
    """Tell when ROLL wants the engines, which it does when learners are loaded, and when they are up.

    Args:
        learners: ROLL's cluster that is initialized first.
        engines: that of the rollout workers, which ROLL sends to other processes before and after it is initialized.
        reached: is told.
    """
    learn, play = learners.initialize, engines.initialize

    def learners_load(**given: Any) -> Any:
        learners.initialize = learn
        engines.initialize = engines_start
        return learn(**given)

    def engines_start(**given: Any) -> Any:
        engines.initialize = play
        reached("learners are loaded and engines wanted")
        answers = play(**given)
        _begin(tell_when_up, answers)
        return answers

    def tell_when_up(answers: list[Any]) -> None:
        ray.wait(answers, num_returns=len(answers))
        reached("engines are up")

    learners.initialize = learners_load


def _begin(work: Callable[..., Any], *args: Any) -> Future[Any]:
    """Do something on a thread of its own, which keeps no process up that ends: a role may wait for Ray for ever."""
    done: Future[Any] = Future()

    def run() -> None:
        try:
            done.set_result(work(*args))
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return done
