"""A shop whose database is plain dictionaries, and whose tools are functions that read and change it."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tau_retail_env.messages import ToolCall
from tau_retail_env.tasks.task import Task
from tau_retail_env.world.arithmetic import is_affordable
from tau_retail_env.world.overlay import OverlayTable
from tau_retail_env.world.shop import Changes, EpisodeRules, GoldChanges, ToolResult, digest


class DictionaryShop:
    """Everything that the episodes of such a shop share.

    Args:
        database: tables by name, each with its entries by id, all of it plain JSON.
        functions: what each tool runs, by name: it gets the episode's tables as `data` and the call's arguments, and
            returns a text. An exception becomes a text that begins with "Error".
        tools: their OpenAI schemas.
        domain_policy: the rules the agent must follow.
        episode_rules: the rules of an episode.
        changeable: the tables that a tool may change; the others are handed to every episode as they are.
        canonical: an entry as the text that decides whether two entries are equal; None for JSON with sorted keys.
        unknown_tool: the answer to a call of a tool that does not exist; {name} is its name.
    """

    def __init__(
        self,
        *,
        database: Mapping[str, Any],
        functions: Mapping[str, Callable[..., str]],
        tools: Sequence[Mapping[str, Any]],
        domain_policy: str,
        episode_rules: EpisodeRules,
        changeable: Sequence[str],
        canonical: Callable[[Any], str] | None = None,
        unknown_tool: str = "Error: there is no tool {name}",
    ) -> None:
        self.database = database
        self.tools = tuple(tools)
        self.domain_policy = domain_policy
        self.episode_rules = episode_rules
        self.changeable = tuple(changeable)
        self.canonical = canonical or sorted_json
        self.unknown_tool = unknown_tool
        self.canonical_before = functools.cache(lambda table, key: self.canonical(database[table][key]))
        self._functions = dict(functions)
        self._gold = GoldChanges(self)

    def open(self) -> DictionaryWorld:
        """A fresh world: costs no copy until the first look-up."""
        return DictionaryWorld(self)

    def gold_changes(self, task: Task) -> Changes:
        """What the gold actions change; those that would end the episode are left out."""
        return self._gold.of(task)

    @property
    def corrected(self) -> DictionaryShop:
        """Itself: its tools have no known errors."""
        return self

    def snapshot_digest(self) -> str:
        """Changes when anybody has changed the shared database or the tools' schemas."""
        return digest(self.canonical(self.database) + self.canonical(list(self.tools)))

    def function(self, name: str) -> Callable[..., str] | None:
        """What a tool runs, None for an unknown name."""
        return self._functions.get(name)


class DictionaryWorld:
    """One episode's shop.

    Args:
        shop: what all episodes share.
    """

    def __init__(self, shop: DictionaryShop) -> None:
        self._shop = shop
        self._tables = {table: OverlayTable(shop.database[table], _copy) for table in shop.changeable}
        self._data = {**shop.database, **self._tables}

    def call(self, call: ToolCall, *, requestor: str = "assistant") -> ToolResult:
        """Run one tool call.

        Args:
            call: name and arguments, of whatever types the agent gave.
            requestor: "assistant"; customers have no tools here.

        Returns:
            The tool's text. Nobody counts errors; a text that says so is one here.
        """
        function = self._shop.function(call.name)
        if function is None:
            return ToolResult(self._shop.unknown_tool.format(name=call.name), error=True)
        if call.name == "calculate" and not is_affordable(call.arguments.get("expression")):
            return ToolResult("Error: Expression is too large to calculate", error=True)
        try:
            content = function(data=self._data, **call.arguments)
        except Exception as error:
            content = f"Error: {error}"
        return ToolResult(content, error=content.startswith("Error"))

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy shares the shop, and has its own copies of the entries that were touched."""
        return _world, (self._shop, {name: table.touched for name, table in self._tables.items()})

    def changes(self) -> Changes:
        """Entries whose canonical form differs from the snapshot's."""
        changed = {}
        for table, overlay in self._tables.items():
            for key, entry in overlay.touched.items():
                form = self._shop.canonical(entry)
                if form != self._shop.canonical_before(table, key):
                    changed[table, key] = form
        return changed


def _world(shop: DictionaryShop, touched: Mapping[str, Mapping[str, Any]]) -> DictionaryWorld:
    """A world in which some entries were touched already."""
    world = DictionaryWorld(shop)
    for name, entries in touched.items():
        world._tables[name].touched.update(entries)
    return world


def sorted_json(entry: Any) -> str:
    """An entry as JSON with sorted keys, in which 1, 1.0, "1" and null all differ."""
    return json.dumps(entry, sort_keys=True)


def _copy(value: Any) -> Any:
    """An independent copy of plain JSON, several times faster than `copy.deepcopy`."""
    if isinstance(value, dict):
        return {key: _copy(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_copy(child) for child in value]
    return value
