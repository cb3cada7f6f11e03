"""Files of trajectories: one JSON object a line."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tau_retail_env.blocks import check_fields, check_kind, shown
from tau_retail_env.episodes.trajectory import ADDED_IN, SCHEMA_VERSION, Trajectory
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.runs.files import partial_of, writing
from tau_retail_env.runs.foreign import looks_like

_FIELDS = {entry.name: entry for entry in dataclasses.fields(Trajectory)}
_NUMBERS: Mapping[str, Any] = {
    "reward_breakdown": Mapping[str, float | None],
    "customer_usage": tuple[Mapping[str, float | None], ...],
}
"""Other versions of the package may know other parts of a reward; a customer's number that is not known is null."""
OFFICIAL = "official"
"""The part of a reward that is never unknown where there is one: upstream's."""
HEARD = ("system", "user", "tool")
"""Roles whose messages are texts; the agent's may be tool calls instead."""


def write_trajectories(path: str | os.PathLike[str], trajectories: Iterable[Trajectory]) -> None:
    """Write a file of trajectories, whole or not at all: whoever interrupts this leaves the old file, or none.

    Args:
        path: the file; its folder must exist.
        trajectories: what to write, in this order.

    Raises:
        InvalidValueError: a trajectory holds what JSON cannot (NaN, infinity, an object of another kind).
        WriteError: the file cannot be written, as when the disk is full.
    """
    target = Path(path)
    part = partial_of(target)
    with writing(target):
        try:
            with open(part, "w", encoding="utf-8") as file:
                for trajectory in trajectories:
                    file.write(as_line(trajectory) + "\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def read_trajectories(path: str | os.PathLike[str]) -> list[Trajectory]:
    """Read a file of trajectories.

    Raises:
        InvalidValueError: a line is not one whole JSON object, is of another schema version, or has missing or unknown
            fields; the message names file and line.
        FileNotFoundError: there is no such file.
    """
    with open(path, "rb") as file:
        lines = ((line, f"{path}, line {number}") for number, line in enumerate(file, start=1))
        return [trajectory_of(record_of(line, where), where) for line, where in lines]


def as_line(trajectory: Trajectory, **more: Any) -> str:
    """A trajectory as one line of JSON, without the line's end.

    Args:
        trajectory: the episode.
        more: what stands in the object before the trajectory's own fields.

    Raises:
        InvalidValueError: it holds what JSON cannot (NaN, infinity, an object of another kind).
    """
    record = more | {name: getattr(trajectory, name) for name in _FIELDS}
    try:
        return json.dumps(record, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidValueError(f"Trajectory of {trajectory.task_id} cannot be written as JSON: {error}") from error


def record_of(line: bytes, where: str) -> dict[str, Any]:
    """The JSON object that a line holds.

    Args:
        line: the line, with its end.
        where: file and line, for the error.

    Raises:
        InvalidValueError: it is not one whole JSON object.
    """
    try:
        record = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        cut = "" if line.endswith(b"\n") else " (the line has no end: the file was cut off while it was written)"
        raise InvalidValueError(f"{where}: not one whole JSON object{cut}: {error}") from None
    if not isinstance(record, dict):
        raise InvalidValueError(f"{where}: expected a JSON object, found {type(record).__name__}")
    return record


def trajectory_of(record: Mapping[str, Any], where: str) -> Trajectory:
    """The trajectory whose fields a JSON object holds, of this version of the schema or an earlier one.

    Args:
        record: the object.
        where: file and line, for the error.

    Raises:
        InvalidValueError: another schema version, or fields that are missing, unknown or of another kind.
    """
    if "schema_version" not in record:
        raise InvalidValueError(
            f"{where}: no episode of this package, for schema_version is missing{looks_like(record)}"
        )
    version = record["schema_version"]
    if type(version) is not int or not 1 <= version <= SCHEMA_VERSION:
        raise InvalidValueError(
            f"{where}: schema_version is {version!r}, this package reads 1 to {SCHEMA_VERSION}; "
            "read the file with the version of the package that wrote it"
        )
    later = frozenset[str]().union(*(names for number, names in ADDED_IN.items() if number > version))
    known = _FIELDS.keys() - later
    missing, extra = sorted(known - record.keys()), sorted(record.keys() - known)
    if missing or extra:
        raise InvalidValueError(f"{where}: fields missing: {missing or 'none'}; fields unknown: {extra or 'none'}")
    record = {**record} | {"schema_version": SCHEMA_VERSION} | {name: _FIELDS[name].default for name in later}
    for name in ("messages", "token_ids", "response_mask", "logprobs", "customer_usage"):
        if name in later:
            continue
        if not isinstance(record[name], list):
            raise InvalidValueError(f"{where}: {name} must be a list, found {type(record[name]).__name__}")
        record[name] = tuple(record[name])
    if "messages" not in later:
        record["messages"] = tuple(_with_content(one) for one in record["messages"])
    check_kind(record["stop_reason"], str, f"{where}: stop_reason")
    return checked(Trajectory(**record), where)


def _with_content(message: Any) -> Any:
    """A message as this package writes it: an agent's that only calls may come without a content."""
    return {"content": None, **message} if isinstance(message, dict) and "content" not in message else message


def checked(trajectory: Trajectory, where: str) -> Trajectory:
    """A trajectory read from a file, with every field of its declared type.

    Args:
        trajectory: the episode.
        where: the file, and the line where it has lines, for the error.

    Returns:
        The same.

    Raises:
        InvalidValueError: names the field or the message, what was found and what was expected.
    """
    check_fields(trajectory, where, _NUMBERS)
    if OFFICIAL in trajectory.reward_breakdown:
        check_kind(trajectory.reward_breakdown.get(OFFICIAL), float, f"{where}: reward_breakdown.{OFFICIAL}")
    for number, message in enumerate(trajectory.messages):
        _check_message(message, f"{where}: messages[{number}]")
    return trajectory


def _check_message(message: Mapping[str, Any], where: str) -> None:
    role, content = message.get("role"), message.get("content")
    if role in HEARD:
        check_kind(content, str, f"{where}.content")
        return
    if role != "assistant":
        raise InvalidValueError(f"{where}.role: found {shown(role)}, expected {', '.join(HEARD)} or assistant")
    check_kind(content, str | None, f"{where}.content")
    check_kind(message.get("tool_calls"), list[Mapping[str, Any]] | None, f"{where}.tool_calls")
    for call in message.get("tool_calls") or ():
        check_kind(call.get("id"), str | None, f"{where}.tool_calls: id")
        check_kind(call.get("function"), Mapping[str, Any], f"{where}.tool_calls: function")
        check_kind(call["function"].get("name"), str, f"{where}.tool_calls: name")
        check_kind(call["function"].get("arguments"), str, f"{where}.tool_calls: arguments")
