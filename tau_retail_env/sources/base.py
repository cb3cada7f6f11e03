"""What a source of tasks has: its tasks, its shop, the rules of its episodes, and its prompts."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

from tau_retail_env.chat.compressed import listed_tools
from tau_retail_env.errors import InvalidValueError, unknown
from tau_retail_env.tasks.task import Task
from tau_retail_env.world.assertions import Said
from tau_retail_env.world.shop import EpisodeRules, Shop

THOUGHT = "Thought"
REPLY = "User Response"
"""The titles of the two parts of a ReAct customer's message, as v1's prompt has them."""

JsonObject = dict[str, Any]
Message = dict[str, str]

_OPENING = threading.RLock()
"""Upstreams are imported by one thread at a time; a source may open another one's shop."""


class Source(ABC):
    """One source of tasks, in one of its versions and domains; docs/adding_a_source.md shows how to write one.

    Args:
        version: which edition of its tasks, one of `versions`; None where the source has none.
        domain: which kind of shop, one of `domains`.
    """

    name: ClassVar[str] = ""
    """How it is asked for, such as "tau2"; its tasks' ids begin with it."""
    versions: ClassVar[tuple[str, ...]] = ()
    """The editions of its tasks, the default first; empty for a source that has only one."""
    domains: ClassVar[tuple[str, ...]] = ("retail",)
    """The kinds of shop that it has tasks for."""
    episode_rules: ClassVar[EpisodeRules] = EpisodeRules(greeting=None, stop_tokens=("###STOP###",))
    """The rules of its episodes."""
    prefix_tokens: ClassVar[Mapping[str, int]] = MappingProxyType({})
    """Tokens before the first message by prompt style, where they were counted: with Qwen2.5's and Qwen3's tokenizers,
    which agree."""
    knows_profile: ClassVar[bool] = True
    """Whether a scripted customer without a story knows its own profile; else only what its task says."""

    def __init__(self, version: str | None = None, domain: str = "retail") -> None:
        self.version = version
        self.domain = domain
        self._shop: Shop | None = None

    @abstractmethod
    def splits(self) -> Iterable[str]:
        """The names of its splits.

        Raises:
            MissingDependencyError: upstream's data is not there.
        """

    @abstractmethod
    def load(self, split: str) -> list[Task]:
        """All tasks of one split, in upstream's order.

        Args:
            split: one of `splits`.

        Raises:
            MissingDependencyError: upstream's data is not there.
        """

    def examples(self, split: str) -> Sequence[Task]:
        """Tasks that stand for all kinds of tasks of a split, to tell at once which subsets have any: here all tasks.

        Raises:
            MissingDependencyError: upstream's data is not there.
        """
        return self.load(split)

    @abstractmethod
    def open_shop(self) -> Shop:
        """Make the shop that all its episodes share; `shop` calls this once.

        Raises:
            MissingDependencyError: upstream's package, or one that it imports, is not installed.
        """

    def shop(self) -> Shop:
        """The shop: one per process, shared by its episodes and threads.

        Raises:
            MissingDependencyError: upstream's package, or one that it imports, is not installed.
        """
        with _OPENING:
            if self._shop is None:
                self._shop = self.open_shop()
            return self._shop

    def full_prompt(self, domain_policy: str) -> str:
        """The system prompt of prompt_style "full", which upstream's own agent sends: here the domain policy alone."""
        return domain_policy

    def compressed_prompt(self, domain_policy: str, tools: Sequence[Mapping[str, Any]]) -> str:
        """The system prompt of prompt_style "compressed": here the domain policy, and each tool as one line."""
        return f"{domain_policy.rstrip()}\n\n# Tools\n{listed_tools(tools)}"

    def minimal_prompt(self) -> str:
        """The system prompt of prompt_style "minimal": one short line for a model that was trained on it."""
        return f"{self.domain.capitalize()} support agent."

    def user_opening(self, strategy: str, task: Task) -> list[Message]:
        """What the model that plays the customer is sent before its first words: here nothing can be.

        Args:
            strategy: "llm", "react", "verify" or "reflection".
            task: what the customer wants.

        Returns:
            The system prompt, and the agent's greeting in the role "user".

        Raises:
            InvalidValueError: the source has no prompts for a model.
            MissingDependencyError: upstream's package is not installed, or has no such text.
        """
        raise self._without_prompts(strategy)

    def check_user_opening(self, strategy: str) -> None:
        """Make sure that `user_opening` has its texts, before anything is started.

        Args:
            strategy: as `user_opening` takes it.

        Raises:
            InvalidValueError: the source has no prompts for a model.
            MissingDependencyError: upstream has no such text.
        """
        if type(self).user_opening is Source.user_opening:
            raise self._without_prompts(strategy)

    def _without_prompts(self, strategy: str) -> InvalidValueError:
        return InvalidValueError(
            f"Source {self.name!r} has no prompts for user_strategy {strategy!r}; take user_strategy scripted or "
            "human, or write user_opening in its class"
        )

    def user_briefing(self, task: Task) -> str:
        """What a person who plays the customer reads: here the task's instruction."""
        return task.instruction

    def judge_messages(self, task: Task, conversation: Sequence[Said]) -> list[Message]:
        """What upstream's judge of a task's assertions sends to its model: here there is none.

        Args:
            task: whose assertions.
            conversation: all messages of the episode, tool results included.

        Raises:
            InvalidValueError: upstream has no such judge.
        """
        raise InvalidValueError(f"Source {self.name!r} has no judge of assertions; leave nl_judge=rules")

    def judge_model(self) -> str:
        """The model that upstream's judge is by default: here there is none.

        Raises:
            InvalidValueError: upstream has no such judge.
        """
        raise InvalidValueError(f"Source {self.name!r} has no judge of assertions; leave nl_judge=rules")

    @classmethod
    def user_knowledge(cls, task: Task) -> str:
        """The customer's instructions, in the task's words."""
        return task.scenario.known_info or ""

    @classmethod
    def story_names(cls, task: Task) -> tuple[str, ...]:
        """Names of the stories that the scripted customer can play for a task, the best first."""
        return (task.id,)

    def agent_history(self, message: Mapping[str, Any]) -> JsonObject:
        """A message of the opening history as upstream's agent sends it to its model: here unchanged."""
        return dict(message)

    def agent_message(self, reply: Mapping[str, Any], calls: Sequence[Mapping[str, Any]]) -> JsonObject:
        """An assistant message as upstream's agent keeps it in its history: here in OpenAI's format.

        Args:
            reply: the model's message as the server sent it.
            calls: those of its tool calls that were answered.
        """
        content = reply.get("content")
        return {"role": "assistant", "content": content if calls else content or ""} | (
            {"tool_calls": list(calls)} if calls else {}
        )

    def agent_tool_result(self, call: Mapping[str, Any], content: str) -> JsonObject:
        """A tool's result as upstream's agent keeps it in its history: here in OpenAI's format.

        Args:
            call: the tool call as the server sent it.
            content: the result's text.
        """
        return {"role": "tool", "content": content, "tool_call_id": call.get("id")}

    @classmethod
    def check_version(cls, version: str | None) -> str | None:
        """The version that is meant: the default for None.

        Raises:
            InvalidValueError: an unknown version, or any of a source that has none.
        """
        if version is None:
            return cls.versions[0] if cls.versions else None
        if not cls.versions:
            raise InvalidValueError(
                f"task_version is {version!r}, but the tasks of source {cls.name!r} have no versions: leave it out"
            )
        if version not in cls.versions:
            raise unknown(f"task_version of source {cls.name!r}", version, cls.versions)
        return version
