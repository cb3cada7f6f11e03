"""Who judges the assertions of τ² 1.0's tasks: the rules, or a model asked as upstream asks it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tau_retail_env.errors import InvalidValueError, unknown
from tau_retail_env.sources import Source
from tau_retail_env.tasks import Task
from tau_retail_env.world.assertions import AssertionJudge, RulesJudge, compile_assertion

NL_JUDGES = ("rules", "openai")


def make_judge(
    name: str, model: str | None, config: Mapping[str, Any] | None, source: Source, tasks: Sequence[Task]
) -> AssertionJudge:
    """Who judges assertions; each of the tasks' is read now, so that none surprises at the end of an episode.

    Raises:
        InvalidValueError: an unknown judge, settings that nobody needs, or an assertion that cannot be judged.
    """
    if name not in NL_JUDGES:
        raise unknown("nl_judge", name, NL_JUDGES)
    judged = [task for task in tasks if "NL_ASSERTION" in task.reward_basis]
    if name == "openai":
        if not judged:
            raise InvalidValueError(
                f"nl_judge is 'openai', but no task of source {source.name!r}, task_version {source.version!r}, is "
                "judged by assertions; leave it out"
            )
        from tau_retail_env.users.llm.assertion_judge import ModelJudge  # the rules need no client

        return ModelJudge(source, model, config)
    if model is not None or config:
        raise InvalidValueError("nl_judge_model and nl_judge_config belong to nl_judge=openai; leave them out")
    for task in judged:
        for assertion in task.assertions:
            try:
                compile_assertion(assertion)
            except InvalidValueError as error:
                raise InvalidValueError(f"Task {task.id!r}: {error}") from None
    return RulesJudge()
