"""ROLL's schedulers: what each of them starts begins to import before the scheduler's own process has imported ROLL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from functools import partial
from typing import Any

import ray
from roll.distributed.scheduler.rollout_scheduler import RolloutScheduler
from roll.pipeline.agentic import agentic_pipeline

from tau_retail_env.roll.preload import in_background

ACTORS = ray.actor.ActorClass


class TauRetailRolloutScheduler(RolloutScheduler):
    """ROLL's scheduler, which takes those of its actors that are there by their names, and makes the others.

    Args:
        given: as ROLL gives it.
    """

    def __init__(self, **given: Any) -> None:
        with named_actors_found():
            super().__init__(**given)


@contextmanager
def taken_by_rolls_pipeline() -> Iterator[None]:
    """Have ROLL's pipeline, which is made meanwhile, make its schedulers of `TauRetailRolloutScheduler`."""
    agentic_pipeline.RolloutScheduler = TauRetailRolloutScheduler
    try:
        yield
    finally:
        agentic_pipeline.RolloutScheduler = RolloutScheduler


@contextmanager
def named_actors_found() -> Iterator[None]:
    """Have what makes an actor of a name meanwhile get the one that has it, where there is one."""
    plain = ACTORS.options

    def options(self: Any, **given: Any) -> Any:
        return plain(self, **{"get_if_exists": "name" in given, **given})

    ACTORS.options = options
    try:
        yield
    finally:
        ACTORS.options = plain


def begin_what_schedulers_start(
    config: Any, resource_manager: Any, engines: Any, scheduler: type[Any] = RolloutScheduler
) -> list[Any]:
    """Begin what the two schedulers would start: each one's queue of groups, router and environment workers.

    A scheduler of ROLL's starts them where it is made. So one of each is made here, on a thread each, for the sake of
    what it starts; the ones that schedule, in processes of their own, find that by its names. What fails here fails
    there again, with its message.

    Args:
        config: ROLL's AgenticConfig.
        resource_manager: ROLL's, which places the roles.
        engines: ROLL's cluster of the rollout workers, as it is sent to other processes now.
        scheduler: makes one, by ROLL's arguments.

    Returns:
        The two; what they started ends with them.
    """
    engines, begun = copy(engines), []
    for mode, manager in (("train", config.train_env_manager), ("val", config.val_env_manager)):
        one = object.__new__(scheduler)
        given = {"config": config, "env_manager_config": manager, "resource_manager": resource_manager, "mode": mode}
        in_background(partial(one.__init__, **given, infer_cluster=engines))
        begun.append(one)
    return begun
