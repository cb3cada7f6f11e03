"""The record of one episode, as both engines write it: one JSON object a line, with the version of its schema."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.files import writing

SCHEMA_VERSION = 2
ADDED_IN: Mapping[int, frozenset[str]] = {2: frozenset({"user_strategy", "customer_usage", "customer_error"})}
"""Fields that a version of the schema brought; a record of an earlier version is read with their defaults."""
OUT_OF_TOKENS = "length"
"""The stop reason of an episode in which another turn would not fit; the other reasons are the environment's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """One episode: what was said, the tokens the model saw and produced, and how it was judged."""

    schema_version: int = SCHEMA_VERSION
    """Version of this list of fields and of what they mean."""
    task_id: str
    """The task, such as "tau2/12"."""
    source: str
    """Where the task comes from, such as "tau2"."""
    split: str
    """The split the task was loaded from; empty if the episode failed before its environment said so."""
    seed: int
    """Seed of the environment: the customer's wording."""
    sampling_seed: int
    """Seed of the model's draws; siblings of a group differ in it."""
    group: int
    """Number of the group of siblings that this episode is compared with."""
    tag: str
    """Name of the environment block that the episode was played for; empty if there is none."""
    messages: tuple[Mapping[str, Any], ...]
    """The whole conversation as OpenAI messages, system prompt first. What a model said stands as its own text (tool
    calls in hermes form, in the content); what an agent gave as an `AgentMessage` has `tool_calls`."""
    token_ids: tuple[int, ...] = ()
    """Exactly the tokens that the model saw and produced, in order; empty where no tokenizer took part."""
    response_mask: tuple[int, ...] = ()
    """One number per token: 1 on the model's own tokens (its end-of-turn tokens included), else 0."""
    logprobs: tuple[float, ...] = ()
    """Log-probability of each token when it was drawn, 0.0 where the mask is 0; empty where an agent without a model
    played."""
    prompt_length: int = 0
    """How many of the tokens came before the model's first turn."""
    reward: float
    """Upstream's reward; 0.0 unless the customer ended the episode."""
    terminated: bool
    """Whether the customer ended the episode."""
    truncated: bool
    """Whether a limit, or a failure of the customer, ended it."""
    stop_reason: str
    """Why it ended: the environment's reason ("user_stop", "max_turns", "user_error" …), "length": no token left, or
    "stopped": the run was."""
    scorable: bool
    """False if the customer failed or the run was stopped: then the reward says nothing about the agent."""
    user_strategy: str = ""
    """Who played the customer, of a mixture the one drawn; empty in records of version 1."""
    customer_usage: tuple[Mapping[str, float], ...] = ()
    """What each message of the customer took, in order, as `UserMessage.usage` tells it (`latency_s`, `prompt_tokens`,
    `completion_tokens`, `cost_usd`, `calls`, `retries` …), that of a vain attempt included; empty where it tells
    nothing."""
    customer_error: str = ""
    """Why the customer failed; empty where it did not."""
    reward_breakdown: Mapping[str, Any] = field(default_factory=dict)
    """What the reward is made of; empty where the episode was not judged."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """The environment's metrics over the whole episode, and the player's: `turns` (messages of the agent),
    `response_tokens` (the model's own), `cut_turns` (turns that the model did not end itself)."""
    timings: Mapping[str, float] = field(default_factory=dict)
    """Wall-clock seconds, the only part that differs when the episode is played again: `environment_s` (this episode's
    own reset and steps), `generation_s` (of the batches it took part in, so not to be added up over a batch)."""
    policy_version: int | None = None
    """Training step of the model that played, None if unknown."""

    def __post_init__(self) -> None:
        """Refuse a record whose parts do not fit together."""
        tokens = len(self.token_ids)
        if len(self.response_mask) != tokens or len(self.logprobs) not in (0, tokens):
            raise InvalidValueError(
                f"Trajectory of {self.task_id} has {tokens} token_ids, {len(self.response_mask)} in response_mask and "
                f"{len(self.logprobs)} logprobs; there must be equally many (or no logprobs)"
            )


_FIELDS = {entry.name: entry for entry in dataclasses.fields(Trajectory)}


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
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    with writing(target):
        try:
            with open(part, "w", encoding="utf-8") as file:
                for trajectory in trajectories:
                    file.write(_line(trajectory) + "\n")
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
    with open(path, encoding="utf-8") as file:
        return [_trajectory(line, f"{path}, line {number}") for number, line in enumerate(file, start=1)]


def _line(trajectory: Trajectory) -> str:
    record = {name: getattr(trajectory, name) for name in _FIELDS}
    try:
        return json.dumps(record, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidValueError(f"Trajectory of {trajectory.task_id} cannot be written as JSON: {error}") from error


def _trajectory(line: str, where: str) -> Trajectory:
    try:
        record = json.loads(line)
    except ValueError as error:
        cut = "" if line.endswith("\n") else " (the line has no end: the file was cut off while it was written)"
        raise InvalidValueError(f"{where}: not one whole JSON object{cut}: {error}") from None
    if not isinstance(record, dict):
        raise InvalidValueError(f"{where}: expected a JSON object, found {type(record).__name__}")
    version = record.get("schema_version")
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
    record |= {"schema_version": SCHEMA_VERSION} | {name: _FIELDS[name].default for name in later}
    for name in ("messages", "token_ids", "response_mask", "logprobs", "customer_usage"):
        if name in later:
            continue
        if not isinstance(record[name], list):
            raise InvalidValueError(f"{where}: {name} must be a list, found {type(record[name]).__name__}")
        record[name] = tuple(record[name])
    return Trajectory(**record)
