"""What an episode changed in the shop's database, field by field, beside what the gold actions change."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from typing import Any

from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.evaluation.upstream.conversation import plain
from tau_retail_env.messages import ToolCall
from tau_retail_env.sources.registry import source_of
from tau_retail_env.tasks import Task
from tau_retail_env.world.entries import READERS, entry_fields
from tau_retail_env.world.shop import Shop, World


def changes_beside_gold(trajectory: Trajectory, task: Task) -> list[dict[str, Any]]:
    """Play the episode's tool calls again, and set what they change beside what the gold actions change.

    Args:
        trajectory: the episode, whoever played it.
        task: its task.

    Returns:
        An object for each entry that either changes: `entry`, and `fields`, each a list of the field's path, its value
        before, after the episode, and after the gold actions; null where it has none.
    """
    shop = source_of(task).shop()
    made, wanted = _played(shop, _calls(trajectory)), shop.gold_changes(task)
    changed = made.changes()
    entries = [place for place in dict.fromkeys([*wanted, *changed]) if place[0] in READERS]
    if not entries:
        return []
    gold = _played(shop, (ToolCall(action.name, action.arguments) for action in task.actions))
    return [_entry(table, entry_id, (shop.open(), made, gold)) for table, entry_id in entries]


def _entry(table: str, entry_id: str, worlds: Iterable[World]) -> dict[str, Any]:
    states = [entry_fields(world, table, entry_id) for world in worlds]
    paths = sorted(functools.reduce(lambda known, state: known | state.keys(), states, frozenset[str]()))
    rows = [[path, *(state.get(path) for state in states)] for path in paths]
    return {"entry": f"{table} {entry_id}", "fields": [row for row in rows if not row[1] == row[2] == row[3]]}


def _played(shop: Shop, calls: Iterable[ToolCall]) -> World:
    world = shop.open()
    for call in calls:
        if call.name not in shop.episode_rules.ending_tools:
            world.call(call)
    return world


def _calls(trajectory: Trajectory) -> Iterable[ToolCall]:
    for message in plain(trajectory.messages)[0]:
        for one in message.get("tool_calls", ()):
            if message["role"] == "assistant":
                yield ToolCall(one["function"]["name"], json.loads(one["function"]["arguments"]))
