"""What the scripted customer of a file's task does: refused where it cannot be played, before anybody plays it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from tau_retail_env.blocks import check_kind
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.sources.task_checks import check_call, schemas_of
from tau_retail_env.tasks.task import Action, Task

Words = Mapping[str, str | list[str]]
STORY: Mapping[str, Any] = MappingProxyType(
    {
        "beats": list[Mapping[str, Any]],
        "customer": str | None,
        "emails": list[str],
        "zips": list[str],
        "words": Words,
    }
)
"""The kinds of a story's values, as stories.toml explains them; who plays it refuses unknown keys."""
BEAT: Mapping[str, Any] = MappingProxyType(
    {
        **dict.fromkeys("write first".split(), int),
        **dict.fromkeys("vain ask transfer answer say turn refusal unmet kind payment".split(), str),
        **dict.fromkeys("otherwise fails".split(), bool),
        "outputs": list[int],
        "words": Words,
        "items": list[str],
        "options": list[Mapping[str, str]],
        "calls": list[Mapping[str, Any]],
        "asks": list[str],
    }
)
"""The kinds of a beat's values."""
CALL: Mapping[str, Any] = MappingProxyType({"name": str, "arguments": Mapping[str, Any]})
"""The kinds of what stands in a beat's call."""


def check_stories(tasks: Iterable[Task], tools: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a story that cannot be played.

    Args:
        tasks: of a file; those without a story of their own are passed over.
        tools: the agent's tools as OpenAI schemas.

    Raises:
        InvalidValueError: names the task and the place in its story.
    """
    schemas = schemas_of(tools)
    for task in tasks:
        if task.story is not None:
            _check_story(task, schemas)


def _check_story(task: Task, schemas: Mapping[str, Any]) -> None:
    assert task.story is not None
    where = f"Task {task.id!r}: story"
    _check_table(task.story, STORY, where)
    beats = task.story.get("beats")
    if not beats:
        raise InvalidValueError(f"{where}.beats: found {beats!r}, expected at least one")
    for number, beat in enumerate(beats):
        place = f"{where}.beats[{number}]"
        _check_table(beat, BEAT, place)
        for name in ("write", "first"):
            if beat.get(name, 0) < 0:
                raise InvalidValueError(f"{place}.{name}: found {beat[name]}, expected a number counted from 0")
        if any(output < 0 for output in beat.get("outputs", ())):
            raise InvalidValueError(f"{place}.outputs: found {beat['outputs']}, expected numbers counted from 0")
        for call in beat.get("calls", ()):
            for name, kind in CALL.items():
                check_kind(call.get(name), kind, f"{place}.calls: {name}")
            check_call(Action(call["name"], call["arguments"]), f"{place}.calls", schemas, is_whole=True)


def _check_table(table: Mapping[str, Any], kinds: Mapping[str, Any], where: str) -> None:
    for name, value in table.items():
        if name in kinds:
            check_kind(value, kinds[name], f"{where}.{name}")
