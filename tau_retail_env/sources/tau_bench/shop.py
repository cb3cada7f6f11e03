"""τ-bench v1's retail shop: upstream's own tools over a copy-on-read database."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from tau_retail_env.messages import ToolCall
from tau_retail_env.sources.tau_bench import tasks as upstream_tau_bench
from tau_retail_env.tasks.task import Task
from tau_retail_env.world.arithmetic import is_affordable
from tau_retail_env.world.overlay import OverlayTable
from tau_retail_env.world.shop import Changes, Conduct, GoldChanges, ToolResult, digest

CONDUCT = Conduct(
    greeting=None,
    stop_tokens=("###STOP###",),
    ending_tools=frozenset({"transfer_to_human_agents"}),
    runs_every_call=False,
    hears_text_beside_calls=False,
    speaking_tool="respond",
    max_turns=30,
)
CHANGEABLE_TABLES = ("orders", "users")


class TauBenchShop:
    """Everything v1's retail episodes share: snapshot, tools, domain policy, gold states.

    Raises:
        MissingDependencyError: `tau_bench`, or a package that it imports, is not there.
    """

    conduct = CONDUCT

    def __init__(self) -> None:
        upstream = upstream_tau_bench.import_upstream
        tools = upstream("envs.retail.tools").ALL_TOOLS
        self.domain_policy: str = upstream("envs.retail.wiki").WIKI
        self.tools: Sequence[Mapping[str, Any]] = tuple(tool.get_info() for tool in tools)
        self.database: Mapping[str, Any] = upstream("envs.retail.data").load_data()
        self._to_hashable = upstream("envs.base").to_hashable
        self._invoke = {schema["function"]["name"]: tool.invoke for schema, tool in zip(self.tools, tools, strict=True)}
        self.canonical_before = functools.cache(lambda table, key: self.canonical(self.database[table][key]))
        self._gold = GoldChanges(self)

    def open(self) -> TauBenchWorld:
        """A fresh world: costs no copy until the first look-up."""
        return TauBenchWorld(self)

    def gold_changes(self, task: Task) -> Changes:
        """What the gold actions change; upstream leaves out those that would end the episode."""
        return self._gold.of(task)

    def snapshot_digest(self) -> str:
        """Changes when anybody has changed the shared database or the tools' schemas."""
        return digest(self.canonical(self.database) + self.canonical(list(self.tools)))

    def invoke(self, name: str) -> Any:
        """Upstream's function of a tool, None for an unknown name."""
        return self._invoke.get(name)

    def canonical(self, entry: Any) -> str:
        """Upstream's hash input for an entry: sorted tuples as text, in which 1, 1.0, "1" and None all differ."""
        return str(self._to_hashable(entry))


class TauBenchWorld:
    """One episode's shop.

    Args:
        shop: what all episodes share.
    """

    def __init__(self, shop: TauBenchShop) -> None:
        self._shop = shop
        self._tables = {table: OverlayTable(shop.database[table], _copy) for table in CHANGEABLE_TABLES}
        self._data = {"products": shop.database["products"], **self._tables}

    def call(self, call: ToolCall, *, requestor: str = "assistant") -> ToolResult:
        """Run one tool call as upstream's `Env.step` does.

        Args:
            call: name and arguments, of whatever types the agent gave.
            requestor: "assistant"; customers have no tools here.

        Returns:
            Upstream's text. Upstream counts no errors; a text that says so is one here.
        """
        invoke = self._shop.invoke(call.name)
        if invoke is None:
            return ToolResult(f"Unknown action {call.name}", error=True)
        if call.name == "calculate" and not is_affordable(call.arguments.get("expression")):
            return ToolResult("Error: Expression is too large to calculate", error=True)
        try:
            content = invoke(data=self._data, **call.arguments)
        except Exception as error:
            content = f"Error: {error}"
        return ToolResult(content, error=content.startswith("Error"))

    def changes(self) -> Changes:
        """Entries whose canonical form differs from the snapshot's."""
        changed = {}
        for table, overlay in self._tables.items():
            for key, entry in overlay.touched.items():
                form = self._shop.canonical(entry)
                if form != self._shop.canonical_before(table, key):
                    changed[table, key] = form
        return changed


def _copy(value: Any) -> Any:
    """An independent copy of plain JSON, several times faster than `copy.deepcopy`."""
    if isinstance(value, dict):
        return {key: _copy(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_copy(child) for child in value]
    return value
