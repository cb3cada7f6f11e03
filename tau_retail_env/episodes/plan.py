"""What is played when: task, customer seed and sampling seed of every episode, by the seed of the run.

With a curriculum the tasks of training depend on what was won before, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from tau_retail_env.episodes.curriculum import Curriculum
from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.tasks import Task
from tau_retail_env.tasks.seeding import order_of, seed_of


@dataclass(frozen=True, slots=True)
class EpisodeRequest:
    """One episode to play."""

    task_id: str
    """The task, as the environment knows it."""
    seed: int
    """Decides the customer's wording; siblings of a group share it."""
    group: int = 0
    """Number of the group of siblings, kept in the record."""
    tag: str = ""
    """Name of the environment block, kept in the record."""
    sampling_seed: int = 0
    """Decides a model's draws, together with the task and the seed; siblings differ in it."""

    @property
    def sampling_key(self) -> str:
        """What a model's draws depend on."""
        return f"{self.task_id}/{self.seed}/{self.sampling_seed}"


class Groups(Protocol):
    """The groups of environments that play side by side, as the configuration's `EnvManager` has them."""

    @property
    def tags(self) -> Sequence[str]:
        """Names of the environment blocks."""
        ...

    @property
    def group_size(self) -> int:
        """Environments in a group: episodes of the same task, in the same words."""
        ...

    def partition(self) -> Sequence[int]:
        """Groups by tag, in the order of `tags`."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where a group stands among the groups of its tag, which take their turns side by side."""

    tag: str
    """Name of the environment block."""
    groups: int
    """Groups that the tag has."""
    index: int
    """This group among them, from 0."""

    @classmethod
    def all(cls, tags: Sequence[str], partition: Sequence[int]) -> list[Place]:
        """The places of all groups, counted through the tags.

        Args:
            tags: names of the environment blocks.
            partition: groups by tag, one number a tag.
        """
        shares = zip(tags, partition, strict=False)
        return [cls(tag, groups, index) for tag, groups in shares for index in range(groups)]

    def count(self, turn: int) -> int:
        """How many groups of the tag come before this one's turn, numbered from 0."""
        return turn * self.groups + self.index


class TrainingGroup:
    """What one group plays in training: its tag visits every task once before any twice.

    Each epoch has an order of its own. The groups of a tag go through it side by side: group i of n plays the i-th,
    then the (n+i)-th … task.

    Args:
        tasks: the tag's tasks.
        place: where the group stands.
        seed: the run's seed.
        first_turn: turns that the group had played before the run was resumed.
    """

    def __init__(self, tasks: Sequence[Task], place: Place, *, seed: int, first_turn: int = 0) -> None:
        self._ids = tuple(task.id for task in tasks)
        self._place = place
        self._seed = seed
        self._first_turn = first_turn

    def request(self, turn: int) -> EpisodeRequest:
        """What the group plays in one of its turns; there is always something."""
        tag, count = self._place.tag, self._place.count(self._first_turn + turn)
        epoch, number = divmod(count, len(self._ids))
        task_id = self._ids[order_of(len(self._ids), self._seed, tag, epoch)[number]]
        return EpisodeRequest(task_id, seed_of(self._seed, "wording", tag, count), count, tag)


class ValidationGroup:
    """What one group plays in each evaluation: the same tasks in the same words, in every run.

    Each task is one group's, so it is played exactly group_size times. With fewer turns than tasks the same sample of
    tasks is played each time.

    Args:
        tasks: the tag's tasks.
        place: where the group stands.
        turns: turns of each group in one evaluation; None where it plays until there is nothing left.

    Raises:
        InvalidValueError: more turns than tasks: some would be played more often than others.
    """

    def __init__(self, tasks: Sequence[Task], place: Place, *, turns: int | None = 1) -> None:
        self._ids = tuple(task.id for task in tasks)
        self._place = place
        self._turns = turns
        wanted = place.groups * (turns or 1)
        if wanted > len(self._ids):
            each = f" with {turns} episodes each" if (turns or 1) > 1 else ""
            raise InvalidValueError(
                f"val_env_manager: tag {place.tag!r} has {len(self._ids)} tasks, but {place.groups} groups{each} ask "
                f"for {wanted}; ask for fewer groups (num_env_groups, num_groups_partition, val_batch_size), and for "
                "more trials of a task with group_size"
            )

    def request(self, turn: int) -> EpisodeRequest | None:
        """What the group plays in one of its turns, counted over all evaluations; None at the end of a traversal."""
        count = self._place.count(turn if self._turns is None else turn % self._turns)
        if count >= len(self._ids):
            return None
        task_id = self._ids[order_of(len(self._ids), "validation", self._place.tag)[count]]
        return EpisodeRequest(task_id, seed_of("validation", "wording", task_id, 0), count, self._place.tag)


class TrainingPlan:
    """The groups of a run that plays them one after another, counted from 0 over all steps.

    They go round the groups of environments, each of which plays what `TrainingGroup` says.

    Args:
        tasks: tasks by tag.
        groups: the groups of environments.
        seed: the run's seed.
        curriculum: `Curriculum`'s floor; None where every task is visited once before any twice.
    """

    def __init__(
        self, tasks: Mapping[str, Sequence[Task]], groups: Groups, *, seed: int, curriculum: float | None = None
    ) -> None:
        places = Place.all(groups.tags, groups.partition())
        self._curricula = {
            tag: Curriculum(tasks[tag], floor=curriculum) for tag in groups.tags if curriculum is not None
        }
        self._groups = [TrainingGroup(tasks[place.tag], place, seed=seed) for place in places]
        self._group_size = groups.group_size
        self._seed = seed

    def group(self, position: int) -> list[EpisodeRequest]:
        """The episodes of one group: one task in the same words, sampled differently."""
        turn, number = divmod(position, len(self._groups))
        request = self._groups[number].request(turn)
        if curriculum := self._curricula.get(request.tag):
            drawn = curriculum.draw(seed_of(self._seed, "curriculum", position))
            request = replace(request, task_id=drawn or request.task_id)
        # Numbered over all tags, not within one as ROLL's are: recorded runs were played with these seeds.
        wording_seed = seed_of(self._seed, "wording", position)
        return [
            replace(
                request,
                seed=wording_seed,
                group=position,
                sampling_seed=seed_of(self._seed, "sampling", position, sibling),
            )
            for sibling in range(self._group_size)
        ]

    def learn(self, played: Iterable[Trajectory]) -> None:
        """Let the curriculum know how episodes of training ended; without one nothing depends on it."""
        for episode in played:
            if episode.scorable and (curriculum := self._curricula.get(episode.tag)):
                curriculum.learn(episode.task_id, won=episode.reward == 1.0)


def validation_plan(tasks: Mapping[str, Sequence[Task]], groups: Groups) -> list[EpisodeRequest]:
    """The episodes of every validation: the same tasks and seeds each time, and in every run.

    Args:
        tasks: tasks by tag.
        groups: how many tasks of each tag, and trials of a task (group_size).

    Returns:
        The trials of a task side by side, each in words of its own.

    Raises:
        InvalidValueError: more tasks asked for than there are.
    """
    episodes: list[EpisodeRequest] = []
    for number, place in enumerate(Place.all(groups.tags, groups.partition())):
        request = ValidationGroup(tasks[place.tag], place).request(0)
        assert request is not None, "a group's first turn is among the tasks, or its making was refused"
        for trial in range(groups.group_size):
            wording, sampling = (
                seed_of("validation", kind, request.task_id, trial) for kind in ("wording", "sampling")
            )
            episodes.append(replace(request, seed=wording, group=number, sampling_seed=sampling))
    return episodes
