"""τ²-bench's retail shop: upstream's own tools over a copy-on-read database."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from tau_retail_env.messages import ToolCall
from tau_retail_env.sources.tau2.editions import Edition
from tau_retail_env.sources.tau2.tasks import shop_database
from tau_retail_env.sources.tau2.upstream import import_upstream
from tau_retail_env.tasks.task import Task
from tau_retail_env.world.arithmetic import is_affordable
from tau_retail_env.world.corrections import MODIFY_ITEMS
from tau_retail_env.world.overlay import OverlayTable
from tau_retail_env.world.shop import Changes, EpisodeRules, GoldChanges, ToolResult, digest

EPISODE_RULES = EpisodeRules(
    greeting="Hi! How can I help you today?",
    stop_tokens=("###STOP###", "###TRANSFER###", "###OUT-OF-SCOPE###"),
    max_steps=100,
    max_errors=10,
)


class Tau2Shop:
    """Everything τ²'s retail episodes share: snapshot, tools, domain policy, gold states.

    What it remembers is derived from the snapshot alone, so every thread computes the same.

    Args:
        edition: whose code and data.

    Raises:
        MissingDependencyError: a package that upstream's retail domain imports is not installed.
        InvalidValueError: the edition's code or database is broken.
    """

    episode_rules = EPISODE_RULES

    def __init__(self, edition: Edition) -> None:
        self._edition = edition
        self._upstream = import_upstream(edition)
        try:
            self.snapshot = self._upstream.RetailDB.load(edition.retail / "db.json")
        except ValueError as error:  # pydantic's are of this kind
            raise edition.broken("db.json", f"is no database of upstream's shop ({error})") from None
        for order_id, order in self.snapshot.orders.items():
            if order.user_id not in self.snapshot.users:
                raise edition.broken("db.json", f"holds order {order_id!r} of {order.user_id!r}, but no such user")
        toolkit = self._upstream.RetailTools(self.snapshot)
        self.reading_tools = frozenset(name for name in toolkit.tools if toolkit.tool_type(name).name == "READ")
        tables = self.snapshot.products, self.snapshot.orders, self.snapshot.users
        self._shared_entries = frozenset(id(entry) for table in tables for entry in table.values())
        self._answers: dict[int, str] = {}
        self.canonical_before = functools.cache(lambda table, key: canonical(getattr(self.snapshot, table)[key]))
        self._gold = GoldChanges(self)
        self._world: type[Tau2World] = Tau2World

    @functools.cached_property
    def domain_policy(self) -> str:
        """Upstream's retail policy, byte for byte."""
        return self._edition.text(self._edition.retail / "policy.md")

    @functools.cached_property
    def tools(self) -> Sequence[Mapping[str, Any]]:
        """OpenAI schemas as upstream derives them from its tools."""
        toolkit = self._upstream.RetailTools(self.snapshot)
        return tuple(tool.openai_schema for tool in toolkit.get_tools().values())

    @property
    def database(self) -> Mapping[str, Any]:
        """The shop as plain JSON; read only."""
        return shop_database(self._edition)

    def open(self) -> Tau2World:
        """A fresh world: costs no copy until the first write."""
        return self._world(self)

    @functools.cached_property
    def corrected(self) -> Tau2Shop:
        """The same shop, in which a change of items gives each item its own variant."""
        corrected = copy.copy(self)
        corrected._world, corrected._gold = CorrectedTau2World, GoldChanges(corrected)
        return corrected

    def gold_changes(self, task: Task) -> Changes:
        """What the gold actions change; a gold call that fails changes nothing, as upstream has it."""
        return self._gold.of(task)

    def snapshot_digest(self) -> str:
        """Changes when anybody has changed the shared database, the customers' plain one, or the tools' schemas."""
        return digest(canonical(self.snapshot) + json.dumps([self.database, self.tools], sort_keys=True))

    def environment(self, orders: Mapping[str, Any], users: Mapping[str, Any]) -> Any:
        """Upstream's environment and tools over the tables of one episode."""
        database = SimpleNamespace(products=self.snapshot.products, orders=orders, users=users)
        return self._upstream.Environment("retail", self.domain_policy, self._upstream.RetailTools(database))

    def answer(self, result: Any) -> str:
        """A tool's result as upstream shows it to the agent; a shared entry's text is made once in a process."""
        # By identity: the shared entries live as long as the shop, so their ids are nobody else's.
        text = self._answers.get(id(result))
        if text is None:
            text = self._upstream.Environment.to_json_str(result)
            if id(result) in self._shared_entries:
                self._answers[id(result)] = text
        return text


class Tau2World:
    """One episode's shop: tools that upstream declares as reading see the shared entries, all others copies.

    Args:
        shop: what all episodes share.
    """

    def __init__(self, shop: Tau2Shop) -> None:
        self._shop = shop
        self._orders: OverlayTable[Any] = OverlayTable(shop.snapshot.orders, _copy)
        self._users: OverlayTable[Any] = OverlayTable(shop.snapshot.users, _copy)
        self._writing = shop.environment(self._orders, self._users)
        self._reading = shop.environment(self._orders.for_reading(), self._users.for_reading())

    def call(self, call: ToolCall, *, requestor: str = "assistant") -> ToolResult:
        """Run one tool call through upstream's environment.

        Args:
            call: name and arguments, of whatever types the agent gave.
            requestor: "assistant", or "user" for a tool of the customer's.

        Returns:
            Upstream's text and whether upstream counts an error.
        """
        if call.name == "calculate" and not is_affordable(call.arguments.get("expression")):
            return ToolResult("Error: Expression is too large to calculate", error=True)
        environment = self._reading if call.name in self._shop.reading_tools else self._writing
        try:
            result = environment.make_tool_call(call.name, requestor=requestor, **call.arguments)
        except Exception as error:
            return ToolResult(f"Error: {error}", error=True)
        return ToolResult(self._shop.answer(result), error=False)

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy shares the shop, and has its own copies of the entries that were touched."""
        touched = [
            {key: entry.model_dump(warnings=False) for key, entry in table.touched.items()}
            for table in (self._orders, self._users)
        ]
        return _world, (type(self), self._shop, *touched)

    def changes(self) -> Changes:
        """Entries whose canonical form differs from the snapshot's."""
        changed = {}
        for table, overlay in (("orders", self._orders), ("users", self._users)):
            for key, entry in overlay.touched.items():
                form = canonical(entry)
                if form != self._shop.canonical_before(table, key):
                    changed[table, key] = form
        return changed


class CorrectedTau2World(Tau2World):
    """One episode's shop as it should be: upstream's tool writes the last variant to every item that it changes."""

    def call(self, call: ToolCall, *, requestor: str = "assistant") -> ToolResult:
        """Run one call through upstream's tool, then give each changed item the price and options of its variant.

        The text of the result is upstream's, from before that.
        """
        if call.name != MODIFY_ITEMS:
            return super().call(call, requestor=requestor)
        # This look-up makes the episode's copy, which upstream's tool then changes.
        order = self._orders.get(call.arguments.get("order_id", ""))
        before = [item.item_id for item in order.items] if order else []
        result = super().call(call, requestor=requestor)
        for item, item_id in zip(order.items if order else (), before, strict=True):
            if item.item_id != item_id:
                variant = self._shop.snapshot.products[item.product_id].variants[item.item_id]
                item.price, item.options = variant.price, variant.options
        return result


def _world(kind: type[Tau2World], shop: Tau2Shop, orders: Mapping[str, Any], users: Mapping[str, Any]) -> Tau2World:
    """A world in which some entries were touched already."""
    world = kind(shop)
    for table, entries in ((world._orders, orders), (world._users, users)):
        table.touched.update({key: type(table.snapshot[key]).model_validate(entry) for key, entry in entries.items()})
    return world


def _copy(entry: Any) -> Any:
    """An independent copy of one entry, several times faster than pydantic's own deep copy."""
    return type(entry).model_validate(entry.model_dump())


def canonical(entry: Any) -> str:
    """Upstream's hash input for one entry: JSON with sorted keys, in which 1, 1.0, "1" and null all differ."""
    return json.dumps(entry.model_dump(warnings=False), sort_keys=True, default=str)
