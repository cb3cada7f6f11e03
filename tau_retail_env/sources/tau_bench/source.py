"""The source tau_bench: τ-bench v1's retail tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from tau_retail_env.chat.api import tool_call_of
from tau_retail_env.chat.compressed import retail_prompt
from tau_retail_env.sources.base import JsonObject, Message, Source
from tau_retail_env.sources.tau_bench import tasks, texts
from tau_retail_env.sources.tau_bench.shop import EPISODE_RULES, open_tau_bench_shop
from tau_retail_env.tasks.task import Task
from tau_retail_env.world.shop import Shop

MISSING_IN_TAU2 = 95
"""The test task of τ-bench that τ²-bench left out: from there on, τ²'s numbers are one less."""


class TauBenchSource(Source):
    """τ-bench v1 retail, from the submodule, a checkout or an installed `tau_bench`."""

    name = "tau_bench"
    episode_rules = EPISODE_RULES
    prefix_tokens = MappingProxyType({"full": 4256, "compressed": 1161, "minimal": 9})
    knows_profile = False

    def splits(self) -> Iterable[str]:
        """Upstream's: train, test and dev."""
        return tasks.splits()

    def load(self, split: str) -> list[Task]:
        """The tasks of one split."""
        return tasks.load(split)

    def open_shop(self) -> Shop:
        """Upstream's tools over its database."""
        return open_tau_bench_shop()

    def compressed_prompt(self, domain_policy: str, tools: Sequence[Mapping[str, Any]]) -> str:
        """Every rule in our own words and every tool as a signature."""
        return retail_prompt(texts.POLICY_DIFFERENCES, tools)

    def user_opening(self, strategy: str, task: Task) -> list[Message]:
        """What v1's simulator of the strategy sends."""
        self.shop()  # imports upstream, one thread at a time
        return texts.opening_messages(strategy, task.instruction)

    @classmethod
    def user_knowledge(cls, task: Task) -> str:
        """v1 puts everything into the instruction."""
        return task.instruction

    @classmethod
    def story_names(cls, task: Task) -> tuple[str, ...]:
        """Its own, else for a test task that of the τ²-bench task with the same text."""
        if not task.id.startswith(f"{cls.name}/test/"):
            return (task.id,)
        number = int(task.id.rsplit("/", 1)[1])
        return task.id, f"tau2/{number - (number > MISSING_IN_TAU2)}"

    def agent_message(self, reply: Mapping[str, Any], calls: Sequence[Mapping[str, Any]]) -> JsonObject:
        """As v1's ToolCallingAgent keeps it: the model's own, with the calls that were answered."""
        return {**reply, **({"tool_calls": list(calls)} if calls else {"content": reply.get("content") or ""})}

    def agent_tool_result(self, call: Mapping[str, Any], content: str) -> JsonObject:
        """As v1's ToolCallingAgent keeps it."""
        return {"role": "tool", "tool_call_id": call.get("id"), "name": tool_call_of(call).name, "content": content}
