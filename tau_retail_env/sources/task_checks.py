"""Tasks that cannot be played or judged as they say: refused before anybody plays them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tau_retail_env.errors import InvalidValueError, unknown
from tau_retail_env.tasks.task import Action, Task
from tau_retail_env.tasks.writes import WRITE_TOOLS
from tau_retail_env.world.reward import REWARD_PARTS

REQUESTORS = ("assistant", "user")
"""Who may make a gold call."""


def check_tasks(tasks: Iterable[Task]) -> None:
    """Refuse a task of which a part would be left out: that would be another task.

    Args:
        tasks: of any source.

    Raises:
        InvalidValueError: a reward names a part that nobody judges, or a task begins in a state of its own.
    """
    for task in tasks:
        if other := set(task.reward_basis).difference(REWARD_PARTS):
            raise unknown(f"entry in reward_basis of task {task.id!r}", min(other), REWARD_PARTS)
        state = task.initial_state
        if state is not None and not (isinstance(state, Mapping) and not any(state.values())):
            raise InvalidValueError(
                f"Task {task.id!r} has an initial_state ({state!r:.80}), but every retail episode begins in the shop "
                "as db.json has it; leave it out"
            )


def check_gold_calls(tasks: Iterable[Task], tools: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a gold call that no agent can make: upstream would take it for one that changes nothing.

    A look-up may lack an argument, or have one too many: one of τ²-Bench-Verified's does, and nothing is judged by it.

    Args:
        tasks: whose gold calls.
        tools: the agent's tools as OpenAI schemas.

    Raises:
        InvalidValueError: names the task, the tool and the argument.
    """
    schemas = schemas_of(tools)
    for task in tasks:
        for action in task.actions:
            place = f"a gold action of task {task.id!r}"
            check_call(action, place, schemas, is_whole=action.name in WRITE_TOOLS)
            if action.requestor not in REQUESTORS:
                raise unknown(f"requestor in {place}", action.requestor, REQUESTORS)


def schemas_of(tools: Sequence[Mapping[str, Any]]) -> Mapping[str, Mapping[str, Any]]:
    """The parameters of tools by name.

    Args:
        tools: as OpenAI schemas.
    """
    return {tool["function"]["name"]: tool["function"]["parameters"] for tool in tools}


def check_call(action: Action, where: str, schemas: Mapping[str, Mapping[str, Any]], *, is_whole: bool) -> None:
    """Refuse a call of a tool that there is not, or with arguments of other types.

    Args:
        action: the call.
        where: it stands, for the error.
        schemas: as `schemas_of` makes them.
        is_whole: whether it must have all arguments that the tool needs, and no other.

    Raises:
        InvalidValueError: names the place, the tool and the argument.
    """
    if action.name not in schemas:
        raise unknown(f"tool in {where}", action.name, sorted(schemas))
    schema = schemas[action.name]
    given, known = action.arguments, schema.get("properties", {})
    place = f"{action.name} in {where}"
    if is_whole:
        for name in sorted(given.keys() - known.keys()):
            raise unknown(f"argument of {place}", name, sorted(known))
        for name in sorted(set(schema.get("required", ())) - given.keys()):
            raise InvalidValueError(f"Argument {name!r} of {place} is missing; the tool needs it to change anything")
    for name, value in given.items():
        expected = known.get(name, {}).get("type")
        if expected == "string" and not isinstance(value, str):
            raise InvalidValueError(f"Argument {name!r} of {place} is {value!r:.80}, expected a text")
        if expected == "array" and not (isinstance(value, list) and all(isinstance(one, str) for one in value)):
            raise InvalidValueError(f"Argument {name!r} of {place} is {value!r:.80}, expected a list of texts")
