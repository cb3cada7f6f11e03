"""Cuts a training split in two by customer: what was trained on the one part is tuned on the other, never on a test."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from tau_retail_env.tasks.seeding import seed_of
from tau_retail_env.tasks.task import Task

DEV_ONE_IN = 5
"""One customer in so many belongs to the part for tuning, of all sources alike: they are the customers of one shop."""
PARTS = ("dev", "fit")
"""What is judged while tuning, and what is trained on meanwhile."""


def with_parts(splits: Iterable[str]) -> list[str]:
    """The splits of a source, and the two parts of each training split, such as train_dev and train_fit."""
    known = sorted(splits)
    return known + [f"{split}_{part}" for split in known if split.startswith("train") for part in PARTS]


def whole_of(split: str) -> str:
    """The split that a part belongs to; a whole split is its own."""
    whole, _, part = split.rpartition("_")
    return whole if part in PARTS and whole.startswith("train") else split


def of_part(tasks: Sequence[Task], split: str) -> list[Task]:
    """The tasks of a whole split that belong to one of its parts, each saying so.

    Args:
        tasks: of the whole split.
        split: the part, such as "train_dev".
    """
    wanted = split.endswith("_dev")
    return [dataclasses.replace(task, split=split) for task in tasks if _is_for_tuning(task) == wanted]


def _is_for_tuning(task: Task) -> bool:
    """Whether a task's customer belongs to the part for tuning; a task whose customer nobody knows does not."""
    return task.user_id is not None and seed_of("dev", task.user_id) % DEV_ONE_IN == 0
