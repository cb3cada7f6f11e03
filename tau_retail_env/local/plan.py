"""What is played when: the order of tasks and every seed, as functions of the run's seed alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tau_retail_env.episodes.player import EpisodeRequest
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.local.config.managers import EnvManager
from tau_retail_env.tasks import Task
from tau_retail_env.tasks.seeding import order_of, seed_of


class TrainingPlan:
    """Which groups a run plays, counted from 0 over all steps.

    The groups of a step go round the env groups of `train_env_manager`; each tag takes its tasks in the order of a
    shuffle by (seed, tag, epoch): every task once before any twice.

    Args:
        tasks: tasks by tag.
        manager: tags and their shares.
        seed: the run's seed.
    """

    def __init__(self, tasks: Mapping[str, Sequence[Task]], manager: EnvManager, *, seed: int) -> None:
        self._tasks = tasks
        self._group_size = manager.group_size
        self._seed = seed
        shares = zip(manager.tags, manager.partition(), strict=True)
        self._slots = [(tag, place, share) for tag, share in shares for place in range(share)]

    def group(self, position: int) -> list[EpisodeRequest]:
        """The episodes of one group: one task, told in the same words, sampled differently."""
        turn, slot = divmod(position, len(self._slots))
        tag, place, share = self._slots[slot]
        task = self._task(tag, turn * share + place)
        wording_seed = seed_of(self._seed, "wording", position)
        return [
            EpisodeRequest(
                task.id, wording_seed, position, tag, sampling_seed=seed_of(self._seed, "sampling", position, sibling)
            )
            for sibling in range(self._group_size)
        ]

    def _task(self, tag: str, count: int) -> Task:
        epoch, place = divmod(count, len(self._tasks[tag]))
        return self._tasks[tag][order_of(len(self._tasks[tag]), self._seed, tag, epoch)[place]]


def validation_plan(tasks: Mapping[str, Sequence[Task]], manager: EnvManager) -> list[EpisodeRequest]:
    """The episodes of every validation: the same tasks and seeds each time, and in every run.

    Args:
        tasks: tasks by tag.
        manager: tags, how many tasks of each, and trials of a task (group_size).

    Raises:
        InvalidValueError: more tasks asked for than there are.
    """
    episodes: list[EpisodeRequest] = []
    for tag, share in zip(manager.tags, manager.partition(), strict=True):
        if share > len(tasks[tag]):
            raise InvalidValueError(
                f"val_env_manager: {share} groups for tag {tag!r}, which has {len(tasks[tag])} tasks; ask for "
                "fewer (num_env_groups, num_groups_partition, val_batch_size), or for more trials with group_size"
            )
        for number in order_of(len(tasks[tag]), "validation", tag)[:share]:
            task = tasks[tag][number]
            group = len(episodes) // manager.group_size
            for trial in range(manager.group_size):
                wording, sampling = (seed_of("validation", kind, task.id, trial) for kind in ("wording", "sampling"))
                episodes.append(EpisodeRequest(task.id, wording, group, tag, sampling_seed=sampling))
    return episodes
