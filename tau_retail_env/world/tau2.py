"""τ²-bench's retail shop: upstream's own tools over a copy-on-read database."""

from __future__ import annotations

import functools
import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from tau_retail_env.chat.messages import ToolCall
from tau_retail_env.errors import MissingDependencyError
from tau_retail_env.tasks import upstream_tau2
from tau_retail_env.tasks.task import Task
from tau_retail_env.world.arithmetic import is_affordable
from tau_retail_env.world.overlay import OverlayTable
from tau_retail_env.world.shop import Changes, Conduct, GoldChanges, ToolResult, digest

CONDUCT = Conduct(
    greeting="Hi! How can I help you today?",
    stop_tokens=("###STOP###", "###TRANSFER###", "###OUT-OF-SCOPE###"),
    max_steps=100,
    max_errors=10,
)
CHANGEABLE_TABLES = ("orders", "users")


class Tau2Shop:
    """Everything τ²'s retail episodes share: snapshot, tools, domain policy, gold states.

    Raises:
        MissingDependencyError: the wheel, or a package that its retail domain imports, is not installed.
    """

    conduct = CONDUCT

    def __init__(self) -> None:
        self._upstream = _import_upstream()
        self._snapshot = self._upstream.RetailDB.load(upstream_tau2.data_folder() / "db.json")
        self._gold = GoldChanges(self)

    @functools.cached_property
    def domain_policy(self) -> str:
        """Upstream's retail policy, byte for byte."""
        return (upstream_tau2.data_folder() / "policy.md").read_text(encoding="utf-8")

    @functools.cached_property
    def tools(self) -> Sequence[Mapping[str, Any]]:
        """OpenAI schemas as upstream derives them from its tools."""
        toolkit = self._upstream.RetailTools(self._snapshot)
        return tuple(tool.openai_schema for tool in toolkit.get_tools().values())

    @property
    def database(self) -> Mapping[str, Any]:
        """The shop as plain JSON; read only."""
        return upstream_tau2.shop_database()

    def open(self) -> Tau2World:
        """A fresh world: costs no copy until the first look-up."""
        return Tau2World(self._upstream, self._snapshot, self.domain_policy)

    def gold_changes(self, task: Task) -> Changes:
        """What the gold actions change; a gold call that fails changes nothing, as upstream has it."""
        return self._gold.of(task)

    def snapshot_digest(self) -> str:
        """Changes when anybody has changed the shared database, the plain one of the customers included."""
        return digest(_canonical(self._snapshot) + json.dumps(self.database, sort_keys=True))


class Tau2World:
    """One episode's shop.

    Args:
        upstream: upstream's classes, see `_import_upstream`.
        snapshot: the shared database.
        domain_policy: upstream's text, which its environment wants to hold.
    """

    def __init__(self, upstream: SimpleNamespace, snapshot: Any, domain_policy: str) -> None:
        self._upstream = upstream
        self._snapshot = snapshot
        self._tables = {table: OverlayTable(getattr(snapshot, table), _deep_copy) for table in CHANGEABLE_TABLES}
        database = SimpleNamespace(products=snapshot.products, **self._tables)
        self._environment = upstream.Environment(
            domain_name="retail", policy=domain_policy, tools=upstream.RetailTools(database)
        )

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
        answer = self._environment.get_response(
            self._upstream.ToolCall(id=call.id, name=call.name, arguments=dict(call.arguments), requestor=requestor)
        )
        return ToolResult(answer.content, answer.error)

    def changes(self) -> Changes:
        """Entries whose canonical form differs from the snapshot's."""
        changed = {}
        for table, overlay in self._tables.items():
            shared = getattr(self._snapshot, table)
            for key, entry in overlay.touched.items():
                form = _canonical(entry)
                if form != _canonical(shared[key]):
                    changed[table, key] = form
        return changed


def _deep_copy(entry: Any) -> Any:
    return entry.model_copy(deep=True)


def _canonical(entry: Any) -> str:
    """Upstream's hash input for one entry: JSON with sorted keys, in which 1, 1.0, "1" and null all differ."""
    return json.dumps(entry.model_dump(warnings=False), sort_keys=True, default=str)


@functools.cache
def _import_upstream() -> SimpleNamespace:
    """Import τ²'s retail domain without its side effects: no log lines, no `.env` file read."""
    upstream_tau2.data_folder()
    try:
        import loguru

        loguru.logger.disable("tau2")
        with _without_dotenv():
            from tau2.data_model.message import ToolCall as UpstreamToolCall
            from tau2.domains.retail.data_model import RetailDB
            from tau2.domains.retail.tools import RetailTools
            from tau2.environment.environment import Environment
    except ImportError as error:
        raise MissingDependencyError(
            f"τ²'s retail domain cannot be imported: {error}. Its small dependencies come with this package: "
            "pip install -r requirements.txt (or pip install . in the repository)"
        ) from error
    warnings.filterwarnings("ignore", message="Pydantic serializer warnings", category=UserWarning)
    return SimpleNamespace(
        ToolCall=UpstreamToolCall, RetailDB=RetailDB, RetailTools=RetailTools, Environment=Environment
    )


@contextmanager
def _without_dotenv() -> Iterator[None]:
    """Keep upstream from loading a `.env` file into this process while it is imported."""
    name = "PYTHON_DOTENV_DISABLED"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
