"""An element of upstream's tasks.json, checked before it becomes a task: the part of upstream's model that is read."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from tau_retail_env.errors import InvalidValueError

DEFAULT_BASIS = ["DB", "COMMUNICATE"]
"""What upstream multiplies into the reward of a task that does not say it."""
EXPECTED = {
    "missing": "is missing",
    "model_type": "expected an object",
    "dict_type": "expected an object",
    "list_type": "expected a list",
    "string_type": "expected a text",
}
"""Pydantic's errors in words."""


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class Instructions(_Part):
    """What the customer wants. Upstream also takes one text, which says no reason for the call."""

    reason_for_call: str
    known_info: str | None = None
    unknown_info: str | None = None
    task_instructions: str


class UserScenario(_Part):
    """Who the customer is, and what it wants."""

    persona: str | None = None
    instructions: Instructions


class ActionRow(_Part):
    """A gold call."""

    name: str
    arguments: dict[str, Any]
    requestor: Literal["assistant", "user"] | None = None


class Criteria(_Part):
    """What an episode is judged by."""

    actions: list[ActionRow] | None = None
    env_assertions: list[Any] | None = None
    communicate_info: list[str] | None = None
    nl_assertions: list[str] | None = None
    reward_basis: list[str] = DEFAULT_BASIS

    @property
    def judged(self) -> list[str]:
        """What is multiplied into the reward; without gold actions upstream takes any database for the right one."""
        if self.actions is None and self.env_assertions is None:
            return [part for part in self.reward_basis if part != "DB"]
        return self.reward_basis


class TaskRow(_Part):
    """An element of a tasks.json; without criteria every episode that a side ended earns 1.0, as upstream has it."""

    id: str
    user_scenario: UserScenario
    initial_state: Any = None
    evaluation_criteria: Criteria | None = None


def read_row(row: object) -> TaskRow:
    """Check one element of a tasks.json.

    Args:
        row: the element.

    Raises:
        InvalidValueError: it has another form; the message names the task, and the first thing that is wrong.
    """
    try:
        return TaskRow.model_validate(row)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        path = "".join(f"[{name}]" if isinstance(name, int) else f".{name}" for name in first["loc"]).lstrip(".")
        expected = EXPECTED.get(first["type"], first["msg"])
        found = "" if first["type"] == "missing" else f" is {first['input']!r:.80},"
        task_id = row.get("id") if isinstance(row, dict) else row
        raise InvalidValueError(
            f"Task {task_id!r:.80} of source 'tau2' cannot be played: {path or 'it'}{found} {expected}; "
            "correct it in tasks.json"
        ) from None
