"""What a group of ROLL's plays: the plan of episodes, read off ROLL's own keys."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tau_retail_env.episodes.plan import EpisodeRequest, Place, TrainingGroup, ValidationGroup
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.tasks import Task

CHECKPOINT = re.compile(r"checkpoint-(\d+)/*$")


@dataclass(frozen=True, slots=True)
class UntilTheEnd:
    """What a group plays up to the run's last step: one that plays ahead would begin episodes that no step takes."""

    group: TrainingGroup
    """What it would play for ever."""
    turns: int
    """How many turns there are left."""

    def request(self, turn: int) -> EpisodeRequest | None:
        """What the group plays in one of its turns; None when the run has all that it needs."""
        return self.group.request(turn) if turn < self.turns else None


def group_plan(
    mode: str, tasks: Sequence[Task], *, group_id: int, worker_config: Any, pipeline_config: Any
) -> UntilTheEnd | TrainingGroup | ValidationGroup:
    """What one group plays; its turns are ROLL's episode numbers, and ROLL's random group seeds play no part.

    Args:
        mode: ROLL's "train" or "val".
        tasks: the tag's tasks.
        group_id: ROLL's number of the group, which counts through the tags.
        worker_config: ROLL's EnvManagerConfig: `tags`, `num_groups_partition`, `max_traj_per_env`.
        pipeline_config: ROLL's AgenticConfig: `seed`, `rollout_batch_size`, `val_batch_size`, `max_steps`,
            `resume_from_checkpoint`.

    Raises:
        InvalidValueError: a group of no tag, or a validation with more turns than tasks.
    """
    tags, partition = worker_config.tags, worker_config.num_groups_partition
    places = Place.all(tags, partition)
    if not 0 <= group_id < len(places):
        raise InvalidValueError(
            f"group {group_id} is in none of the tags {list(tags)} with num_groups_partition {list(partition)}: "
            "give one number for each tag, together num_env_groups"
        )
    turns = int(worker_config.max_traj_per_env)
    if mode != "train":  # with val_batch_size -1 ROLL asks until there is nothing left
        turns_or_all = turns if pipeline_config.val_batch_size > 0 else None
        return ValidationGroup(tasks, places[group_id], turns=turns_or_all)
    steps = steps_before(getattr(pipeline_config, "resume_from_checkpoint", None))
    counted = pipeline_config.rollout_batch_size > 0
    first_turn = steps * turns if counted else 0
    group = TrainingGroup(tasks, places[group_id], seed=int(pipeline_config.seed), first_turn=first_turn)
    last = getattr(pipeline_config, "max_steps", -1)
    return UntilTheEnd(group, (last - steps) * turns) if counted and last > 0 else group


def steps_before(resume_from_checkpoint: object) -> int:
    """Training steps before a resumed run's first: ROLL's checkpoint-N was saved at the end of step N, from 0.

    Args:
        resume_from_checkpoint: ROLL's key; a folder named checkpoint-N, or nothing to resume from.
    """
    found = CHECKPOINT.search(resume_from_checkpoint) if isinstance(resume_from_checkpoint, str) else None
    return int(found.group(1)) + 1 if found else 0
