"""τ-bench v1's retail shop: upstream's own tools over a copy-on-read database."""

from __future__ import annotations

from typing import Any

from tau_retail_env.sources.tau_bench.tasks import import_upstream
from tau_retail_env.world.dictionary import DictionaryShop
from tau_retail_env.world.shop import EpisodeRules

EPISODE_RULES = EpisodeRules(
    greeting=None,
    stop_tokens=("###STOP###",),
    ending_tools=frozenset({"transfer_to_human_agents"}),
    runs_every_call=False,
    hears_text_beside_calls=False,
    speaking_tool="respond",
    max_turns=30,
)


def open_tau_bench_shop() -> DictionaryShop:
    """Everything v1's retail episodes share: snapshot, tools, domain policy, gold states.

    Raises:
        MissingDependencyError: `tau_bench`, or a package that it imports, is not there.
    """
    tools = import_upstream("envs.retail.tools").ALL_TOOLS
    schemas = [tool.get_info() for tool in tools]
    to_hashable = import_upstream("envs.base").to_hashable

    def canonical(entry: Any) -> str:
        """Upstream's hash input for an entry: sorted tuples as text, in which 1, 1.0, "1" and None all differ."""
        return str(to_hashable(entry))

    return DictionaryShop(
        database=import_upstream("envs.retail.data").load_data(),
        functions={schema["function"]["name"]: tool.invoke for schema, tool in zip(schemas, tools, strict=True)},
        tools=schemas,
        domain_policy=import_upstream("envs.retail.wiki").WIKI,
        episode_rules=EPISODE_RULES,
        changeable=("orders", "users"),
        canonical=canonical,
        unknown_tool="Unknown action {name}",
    )
