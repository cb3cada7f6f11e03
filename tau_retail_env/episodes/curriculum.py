"""Which tasks a model learns from: more of the kinds that it wins now and then, and every kind for good."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence

from tau_retail_env.tasks import Task
from tau_retail_env.tasks.seeding import Draws
from tau_retail_env.tasks.subsets import SUBSETS

REMEMBERED = 64
"""Episodes of a kind that its success is counted over: the last ones, for the model changes."""
UNIT = 10_000
"""Weights are whole numbers of this fraction."""


class Curriculum:
    """Draws the tasks of one tag by the current success of their kind.

    A group of siblings that all end alike teaches nothing, which is least likely where half of the episodes are won. So
    a kind with success p is drawn 4p(1 - p) times as often as its share of the tasks says: the variance of what is
    earned, 1 at its most. A share of all draws, the floor, does not look at success. Without it the weights feed on
    themselves: a kind that the model cannot do yet, or can do, is hardly drawn again, so nobody sees that it has become
    possible or was forgotten.

    Success is counted by kind, not by task, because most tasks are played once. A kind is what `SUBSETS` says of a
    task. A kind that was not played yet counts as half won.

    Args:
        tasks: the tag's tasks.
        floor: share of the draws without regard to success, above 0 and at most 1.
    """

    def __init__(self, tasks: Sequence[Task], *, floor: float) -> None:
        self._floor = floor
        self._kinds: dict[str, list[str]] = defaultdict(list)
        for task in tasks:
            self._kinds[kind_of(task)].append(task.id)
        self._kind_of = {task_id: kind for kind, ids in self._kinds.items() for task_id in ids}
        self._won: Mapping[str, deque[bool]] = {kind: deque(maxlen=REMEMBERED) for kind in self._kinds}

    def learn(self, task_id: str, *, won: bool) -> None:
        """Count an episode.

        Args:
            task_id: what was played.
            won: whether it earned the whole reward.
        """
        self._won[self._kind_of[task_id]].append(won)

    def success(self) -> dict[str, float]:
        """The current success of each kind, one won and one lost episode added (Laplace's rule)."""
        return {kind: (sum(won) + 1) / (len(won) + 2) for kind, won in self._won.items()}

    def draw(self, seed: object) -> str | None:
        """The task of one group.

        Args:
            seed: decides, together with what was counted so far.

        Returns:
            Its id; None where success is not looked at, and the plan's own order holds.
        """
        draws = Draws(f"curriculum/{seed}")
        if draws.below(UNIT) < self._floor * UNIT:
            return None
        success = self.success()
        kinds = list(self._kinds)
        weights = [round(UNIT * 4 * success[kind] * (1 - success[kind])) * len(self._kinds[kind]) for kind in kinds]
        return draws.choice(self._kinds[draws.weighted(kinds, weights)])


def kind_of(task: Task) -> str:
    """The names of all subsets that a task belongs to, such as "exchanges single easy"."""
    return " ".join(name for name, holds in SUBSETS.items() if name != "all" and holds(task))
