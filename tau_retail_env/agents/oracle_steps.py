"""What the oracle does for the customer, one step after another: the gold actions, and what a story brings up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tau_retail_env.tasks.task import Action, Task
from tau_retail_env.tasks.writes import WRITE_TOOLS
from tau_retail_env.users.scripted.story import Beat, Story

TRANSFER = "transfer_to_human_agents"
RETURN = "return_delivered_order_items"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that the oracle does for the customer."""

    lookups: tuple[Action, ...] = ()
    """The gold lookups that go before."""
    write: Action | None = None
    """The gold write, None where there is nothing to write."""
    beat: Beat | None = None
    """What the customer brings up where the step is not a write: to be told, refused, or transferred."""
    plan: Beat | None = None
    """The beat whose `calls` and `asks` say what to do before it is served; None where the oracle finds out itself."""


def steps_of_actions(actions: Sequence[Action]) -> list[Step]:
    """The gold actions as lookups with the write they go before; lookups after the last write are left out.

    Args:
        actions: the task's gold actions.
    """
    before, writes, after = _grouped(actions)
    steps = [Step(lookups, write) for lookups, write in zip(before, writes, strict=True)]
    return steps or ([Step(after)] if after else [])


def steps_of_story(task: Task, story: Story) -> list[Step]:
    """A story's beats, each with the gold lookups before its write, or before the next one's.

    The beats of a task that brings its own story say themselves what is to be looked up.

    Args:
        task: whose gold actions are done.
        story: what its customer brings up.
    """
    before, writes, after = _grouped(task.actions)
    if task.story is not None:
        return [
            Step(write=writes[beat.write], plan=beat) if beat.write is not None else Step(beat=beat, plan=beat)
            for beat in story.beats
        ]
    numbers = [beat.first if beat.write is None else beat.write for beat in story.beats]
    steps = []
    for place, beat in enumerate(story.beats):
        number = next((number for number in numbers[place:] if number is not None), None)
        lookups = after if number is None else before[number]
        if beat.write is None or beat.fails:
            steps.append(Step(lookups, beat=beat))
        else:
            steps.append(Step(lookups, writes[beat.write]))
    return steps


def as_listed(step: Step, order: Mapping[str, Any]) -> Step:
    """A step whose items are returned in the sequence in which their order has them; any other step as it is.

    Args:
        step: what is done for the customer.
        order: an order as a look-up has shown it.
    """
    write = step.write
    if write is None or write.name != RETURN or write.arguments["order_id"] != order.get("order_id"):
        return step
    items = [row["item_id"] for row in order["items"]]
    listed = sorted(write.arguments["item_ids"], key=lambda one: items.index(one) if one in items else len(items))
    return replace(step, write=replace(write, arguments={**write.arguments, "item_ids": listed}))


def _grouped(actions: Sequence[Action]) -> tuple[list[tuple[Action, ...]], list[Action], tuple[Action, ...]]:
    """The gold lookups before each write, the writes, and the lookups after the last one."""
    before: list[tuple[Action, ...]] = []
    writes: list[Action] = []
    lookups: list[Action] = []
    for action in actions:
        if action.name in WRITE_TOOLS:
            before.append(tuple(lookups))
            writes.append(action)
            lookups = []
        elif action.name != TRANSFER and not action.name.startswith("find_user_id_by_"):
            lookups.append(action)
    return before, writes, tuple(lookups)
