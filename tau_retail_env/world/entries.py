"""An entry of the shop's database field by field, as a reader looks at it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from tau_retail_env.messages import ToolCall
from tau_retail_env.world.shop import World

READERS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"orders": ("get_order_details", "order_id"), "users": ("get_user_details", "user_id")}
)
"""The tool that shows an entry of a table, and the argument that names the entry."""


def entry_fields(world: World, table: str, entry_id: str) -> dict[str, Any]:
    """An entry's values by dotted path, as the shop's own tool shows it; what is null or empty counts as absent.

    Args:
        world: the shop as an episode left it.
        table: "orders" or "users".
        entry_id: the entry.
    """
    tool, argument = READERS[table]
    entry = json.loads(world.call(ToolCall(tool, {argument: entry_id})).content)
    return {path: value for path, value in _leaves(entry, "") if value not in (None, [], {})}


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        children: Iterable[tuple[Any, Any]] = value.items()
    elif isinstance(value, list) and any(isinstance(entry, Mapping) for entry in value):
        children = enumerate(value)
    else:
        yield path, value
        return
    for key, child in children:
        yield from _leaves(child, f"{path}.{key}" if path else str(key))
