"""Judging assertions by a model behind an API, as upstream does: nl_judge "openai"."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from tau_retail_env.errors import InvalidValueError, MissingDependencyError, UserSetupError
from tau_retail_env.sources.base import Source
from tau_retail_env.tasks.task import Task
from tau_retail_env.users.base import UserError
from tau_retail_env.users.llm.completion import Completion
from tau_retail_env.users.llm.endpoint import Endpoint
from tau_retail_env.users.llm.settings import ApiSettings
from tau_retail_env.world.assertions import Evidence

WORDS = (
    (r", or play the customer offline with user_strategy=scripted", ""),
    (r"\b([Tt]he) customer's server\b", r"\1 judge's server"),
    (r"\b([Tt]he) customers' budget\b", r"\1 judge's budget"),
    (r"\bAn API customer\b", "A model that judges"),
)
"""What an endpoint's errors say of a customer, and what that is for a judge."""
TRIES = 3
"""How often a judge is asked whose answer cannot be read."""


class ModelJudge:
    """Asks a model whether a task's assertions hold; retries, budget and cassette are those of API customers.

    Args:
        source: whose judge's prompt.
        model: name of the model; None for upstream's own default.
        config: everything else, as `ApiSettings` names it; the temperature is 0.0 as upstream's unless given.

    Raises:
        InvalidValueError: a setting that cannot be used, or a source whose upstream has no such judge.
    """

    def __init__(self, source: Source, model: str | None = None, config: Mapping[str, Any] | None = None) -> None:
        self._source = source
        try:
            settings = ApiSettings.read(model or source.judge_model(), {"temperature": 0.0, **(config or {})})
        except InvalidValueError as error:
            raise InvalidValueError(f"nl_judge 'openai': {of_judge(error)}") from None
        self._endpoint = Endpoint(settings)

    def check(self) -> None:
        """Make sure, before the first episode, that the model can be asked.

        Raises:
            UserSetupError: it cannot; the message says why.
            MissingDependencyError: the package openai is not installed.
        """
        try:
            self._endpoint.check()
        except UserSetupError as error:
            raise UserSetupError(
                f"nl_judge 'openai': {of_judge(error)}. Or take nl_judge=rules, which asks no model"
            ) from None
        except MissingDependencyError as error:
            raise MissingDependencyError(of_judge(error)) from None

    def unmet(self, task: Task, evidence: Evidence) -> list[str]:
        """Those of a task's assertions that do not hold.

        Args:
            task: whose.
            evidence: the conversation.

        Raises:
            UserError: the server failed, or its model gave no verdict on every assertion: nothing is known.
            UserSetupError: the server cannot be used until something is fixed (key, model, budget).
        """
        if not task.assertions:
            return []
        messages = self._source.judge_messages(task, evidence.conversation)
        for attempt in range(TRIES):
            answer = self._ask(messages, f"{task.id}/{task.version}/nl_judge/{attempt}")
            verdicts = _verdicts(answer.content)
            if verdicts is not None and len(verdicts) == len(task.assertions):
                return [text for text, met in zip(task.assertions, verdicts, strict=True) if not met]
        raise UserError(
            f"the judge {self._endpoint.settings.model!r} gave no verdict on each of {len(task.assertions)} assertions "
            f"in {TRIES} answers; the last one began with {answer.content[:80]!r}"
        )

    def _ask(self, messages: Sequence[Mapping[str, Any]], context: str) -> Completion:
        try:
            return self._endpoint.complete(messages, context=context)
        except UserError as error:
            raise UserError(of_judge(error), usage=error.usage) from None
        except UserSetupError as error:
            raise type(error)(of_judge(error)) from None


def of_judge(error: Exception, *, config: str = "nl_judge_config.", model: str = "nl_judge_model") -> str:
    """An endpoint's error in the words of a judge.

    Args:
        error: speaks of a customer, `user.` and `user_model`.
        config: what stands before the name of a judge's setting.
        model: what names a judge's model.
    """
    text = str(error)
    for found, instead in ((r"\buser\.(?=[a-z])", config), (r"\buser_model\b", model), *WORDS):
        text = re.sub(found, instead, text)
    return text


def _verdicts(answer: str) -> list[bool] | None:
    """Whether each assertion is met, in the order of the answer; None where it cannot be read."""
    start, end = answer.find("{"), answer.rfind("}")
    try:
        results = json.loads(answer[start : end + 1])["results"]
        verdicts = [result["metExpectation"] for result in results]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return verdicts if all(isinstance(met, bool) for met in verdicts) else None
