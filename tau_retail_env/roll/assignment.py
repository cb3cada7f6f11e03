"""Which task and which customer seed an episode gets, as a function of the run's seed and ROLL's counts alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.tasks import Task
from tau_retail_env.tasks.seeding import order_of, seed_of

CHECKPOINT = re.compile(r"checkpoint-(\d+)/*$")


@dataclass(frozen=True, slots=True)
class Assigned:
    """What one episode plays."""

    task_id: str
    """The task."""
    seed: int
    """Decides the customer's wording; all episodes of a group share it."""
    count: int
    """How many groups of the tag come before this one, over the whole run (training) or one evaluation."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a group stands among the groups of its tag."""

    tag: str
    """Name of the block under custom_envs."""
    groups: int
    """Groups that the tag has."""
    index: int
    """This group among them, from 0."""

    @classmethod
    def of_group(cls, group_id: int, tags: Sequence[str], partition: Sequence[int]) -> Place:
        """Find a group by ROLL's number, which counts through the tags.

        Args:
            group_id: ROLL's number.
            tags: `tags` of the env manager.
            partition: `num_groups_partition`, one number a tag.

        Raises:
            InvalidValueError: there is no such group.
        """
        first = 0
        for tag, groups in zip(tags, partition, strict=False):
            if first <= group_id < first + groups:
                return cls(tag, groups, group_id - first)
            first += groups
        raise InvalidValueError(
            f"group {group_id} is in none of the tags {list(tags)} with num_groups_partition {list(partition)}: "
            "give one number for each tag, together num_env_groups"
        )


class Assignment(Protocol):
    """Answers what a group's next episode plays."""

    def of(self, episode_id: int) -> Assigned | None:
        """What ROLL's episode number plays in this group; None if the group has nothing left to play."""
        ...


class TrainingAssignment:
    """Training visits every task of a tag once before any twice, in an order of its own for each epoch.

    The groups of a tag go through the tasks side by side: group i of n plays the i-th, then the (n+i)-th … task of the
    epoch's order. ROLL's random group seeds play no part.

    Args:
        tasks: the tag's tasks.
        place: where the group stands.
        seed: the run's seed.
        first_episode: episodes a group had played before the run was resumed.
    """

    def __init__(self, tasks: Sequence[Task], place: Place, *, seed: int, first_episode: int = 0) -> None:
        self._ids = tuple(task.id for task in tasks)
        self._place = place
        self._seed = seed
        self._first_episode = first_episode

    def of(self, episode_id: int) -> Assigned:
        """What an episode plays; there is always something."""
        tag = self._place.tag
        count = (self._first_episode + episode_id) * self._place.groups + self._place.index
        epoch, turn = divmod(count, len(self._ids))
        order = order_of(len(self._ids), self._seed, tag, epoch)
        return Assigned(self._ids[order[turn]], seed_of(self._seed, "wording", tag, count), count)


class ValidationAssignment:
    """Every evaluation plays the same tasks with the same customer seeds, whatever ROLL's seeds and episode numbers.

    Each task is one group's, so it is played exactly group_size times. With fewer places than tasks the same sample of
    tasks is played each time, by tag, and in every run.

    Args:
        tasks: the tag's tasks.
        place: where the group stands.
        episodes: episodes of each group in one evaluation (ROLL's max_traj_per_env); None where ROLL asks until there
            is nothing left (val_batch_size -1).

    Raises:
        InvalidValueError: more places than tasks: some would be played more often than others.
    """

    def __init__(self, tasks: Sequence[Task], place: Place, *, episodes: int | None) -> None:
        self._ids = tuple(task.id for task in tasks)
        self._place = place
        self._episodes = episodes
        wanted = place.groups * (episodes or 1)
        if wanted > len(self._ids):
            raise InvalidValueError(
                f"val_env_manager: tag {place.tag!r} has {len(self._ids)} tasks, but {place.groups} groups with "
                f"{episodes or 1} episodes each ask for {wanted}; ask for fewer groups (num_env_groups, "
                "num_groups_partition, val_batch_size), and for more trials of a task with group_size"
            )

    def of(self, episode_id: int) -> Assigned | None:
        """What an episode plays; None at the end of a traversal."""
        turn = episode_id if self._episodes is None else episode_id % self._episodes
        count = turn * self._place.groups + self._place.index
        if count >= len(self._ids):
            return None
        task_id = self._ids[order_of(len(self._ids), "validation", self._place.tag)[count]]
        return Assigned(task_id, seed_of("validation", "wording", task_id, 0), count)


def make_assignment(
    mode: str, tasks: Sequence[Task], *, group_id: int, worker_config: Any, pipeline_config: Any
) -> Assignment:
    """The assignment of one group.

    Args:
        mode: ROLL's "train" or "val".
        tasks: the tag's tasks.
        group_id: ROLL's number of the group.
        worker_config: ROLL's EnvManagerConfig: `tags`, `num_groups_partition`, `max_traj_per_env`.
        pipeline_config: ROLL's AgenticConfig: `seed`, `rollout_batch_size`, `val_batch_size`,
            `resume_from_checkpoint`.

    Raises:
        InvalidValueError: a group of no tag, or a validation with more places than tasks.
    """
    place = Place.of_group(group_id, worker_config.tags, worker_config.num_groups_partition)
    episodes = int(worker_config.max_traj_per_env)
    if mode != "train":
        return ValidationAssignment(tasks, place, episodes=episodes if pipeline_config.val_batch_size > 0 else None)
    steps = steps_before(getattr(pipeline_config, "resume_from_checkpoint", None))
    counted = pipeline_config.rollout_batch_size > 0
    return TrainingAssignment(
        tasks, place, seed=int(pipeline_config.seed), first_episode=steps * episodes if counted else 0
    )


def steps_before(resume_from_checkpoint: object) -> int:
    """Training steps before a resumed run's first: ROLL's checkpoint-N was saved at the end of step N, from 0.

    Args:
        resume_from_checkpoint: ROLL's key; a folder named checkpoint-N, or nothing to resume from.
    """
    found = CHECKPOINT.search(resume_from_checkpoint) if isinstance(resume_from_checkpoint, str) else None
    return int(found.group(1)) + 1 if found else 0
