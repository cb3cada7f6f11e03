"""Rollouts that run ahead although the actor plays and learns on the same GPUs: no episode is waited for alone."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from roll.pipeline.agentic import agentic_pipeline
from roll.pipeline.agentic.agentic_pipeline import RolloutScheduler


class AheadScheduler(RolloutScheduler):
    """ROLL's, whose queue holds the episodes of the next steps, too.

    An environment that has ended its episode of this step begins that of the next, while others still play. When the
    step has all of its own, the engine breaks messages off and sleeps, and in the next step they go on. So the step
    that an episode belongs to, and its siblings, are those of a run that does not play ahead, however long it takes.

    Args:
        config: ROLL's AgenticConfig, with `steps_ahead`.
        others: ROLL's.
    """

    def __init__(self, *, config: Any, **others: Any) -> None:
        config = copy.copy(config)
        config.async_generation_ratio = config.steps_ahead
        super().__init__(config=config, **others)


@contextmanager
def played_ahead(config: Any) -> Iterator[None]:
    """Have ROLL's pipeline, which is made meanwhile, play ahead and all the same put the engine to sleep to learn.

    ROLL asks `async_generation_ratio` two things: how many steps its queue may be ahead, and whether the engine plays
    on while the actor learns, which it cannot do on the actor's GPUs.

    Args:
        config: ROLL's AgenticConfig. Where actor and engine have the same GPUs, its `async_generation_ratio` moves to
            `steps_ahead`, for good.
    """
    shared = set(config.actor_train.device_mapping) == set(config.actor_infer.device_mapping)
    if not (config.async_generation_ratio and shared):
        yield
        return
    config.steps_ahead, config.async_generation_ratio = config.async_generation_ratio, 0
    agentic_pipeline.RolloutScheduler = AheadScheduler
    try:
        yield
    finally:
        agentic_pipeline.RolloutScheduler = RolloutScheduler
