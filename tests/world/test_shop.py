"""What the gold actions of a task change is worked out once, and anew where the actions are others."""

from __future__ import annotations

from dataclasses import replace

from tau_retail_env.sources import load_tasks, open_shop
from tau_retail_env.tasks.writes import gold_writes
from tau_retail_env.world.shop import GoldChanges


def test_the_changes_of_a_task_are_computed_once() -> None:
    changes = GoldChanges(open_shop("tau2"))
    task = next(task for task in load_tasks("tau2", "base") if gold_writes(task))
    first = changes.of(task)
    assert first and changes.of(task) is first


def test_a_task_of_the_same_name_with_other_actions_has_its_own_changes() -> None:
    changes = GoldChanges(open_shop("tau2"))
    task = next(task for task in load_tasks("tau2", "base") if gold_writes(task))
    nothing = replace(task, actions=())
    assert changes.of(task) and not changes.of(nothing) and changes.of(task)
