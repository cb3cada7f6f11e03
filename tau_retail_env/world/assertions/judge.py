"""The judge of rules: it reads upstream's sentences once, and says which of them hold."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Protocol

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.tasks.task import Task
from tau_retail_env.world.assertions.deeds import Did, tools_of
from tau_retail_env.world.assertions.evidence import Evidence
from tau_retail_env.world.assertions.told import Told
from tau_retail_env.world.assertions.values import is_read_whole, says_more, values_of


class Assertion(Protocol):
    """A sentence of upstream's, compiled."""

    def holds(self, evidence: Evidence) -> bool:
        """Whether it holds.

        Args:
            evidence: the conversation and the calls.
        """
        ...


class AssertionJudge(Protocol):
    """Who says which assertions of an episode hold."""

    def unmet(self, task: Task, evidence: Evidence) -> list[str]:
        """Those of a task's assertions that do not hold."""
        ...


class RulesJudge:
    """The judge of this file: it asks nobody."""

    def unmet(self, task: Task, evidence: Evidence) -> list[str]:
        """Those of a task's assertions that do not hold.

        Raises:
            InvalidValueError: a sentence of a form that is not known.
        """
        return unmet(task.assertions, evidence)


def unmet(assertions: Sequence[str], evidence: Evidence) -> list[str]:
    """Those of a task's assertions that do not hold.

    Args:
        assertions: upstream's sentences.
        evidence: the conversation.

    Raises:
        InvalidValueError: a sentence of a form that is not known.
    """
    return [text for text in assertions if not compile_assertion(text).holds(evidence)]


@functools.lru_cache(maxsize=1024)
def compile_assertion(text: str) -> Assertion:
    """Read one of upstream's sentences.

    Args:
        text: such as "Agent should tell the user …" or "Agent should cancel …".

    Raises:
        InvalidValueError: its form is not known, so nothing can be said about a conversation.
    """
    told = _TELLING.fullmatch(text.strip())
    if told is not None:
        values = values_of(told["claim"])
        if values and is_read_whole(told["claim"], values):
            return Told.of(told["claim"], values)
    elif (done := _DOING.fullmatch(text.strip())) is not None:
        tools = tools_of(done["deed"])
        if tools and not says_more(done["deed"]):
            return Did(tools)
    raise InvalidValueError(
        f"The assertion {text!r} has a form that the judge 'rules' does not know; it knows that the agent should tell "
        "the user a number, a name or a list, and that it should cancel, exchange or modify. Take nl_judge=openai"
    )


_TELLING = re.compile(
    r"(?:the )?agent should (?:(?:tell|inform) the (?:user|customer)|provide)(?: that)? (?P<claim>.+?)\.?",
    re.IGNORECASE,
)
_DOING = re.compile(
    r"(?:the )?agent should (?P<deed>(?:cancel|exchange|process|modify|make changes to)\b.+?)\.?", re.IGNORECASE
)
