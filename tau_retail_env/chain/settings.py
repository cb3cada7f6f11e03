"""The keys of a chain: its stages in their order, each a configuration of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field

from tau_retail_env.blocks import Block, Filled, Instead, Name, raise_if, read
from tau_retail_env.config import compose
from tau_retail_env.config.machine import pretrain_problems
from tau_retail_env.errors import InvalidValueError

START = "start"
"""The name of the weights that a chain begins with, beside those of its stages."""
STAGE_NAME = re.compile(r"[a-z][a-z0-9_]*")
PLAIN = re.compile(r"[A-Za-z0-9_./+-]+")
"""A text that Hydra reads as it stands."""


class Pythons(Block):
    """The interpreters of the environments; null finds them: this one, .venv and .venv-roll."""

    local: Filled | None = None
    """That of the local engine, with TRL."""
    roll: Filled | None = None
    """That of ROLL."""
    play: Filled | None = None
    """That of stages that play: with vLLM where there is a GPU, else the local engine's."""


class Stage(Block):
    """One stage: a configuration, and what it takes from those before it."""

    config: Name
    """The name of its configuration."""
    set: Mapping[str, Any] = Field(default_factory=dict)
    """Keys of the configuration with other values."""
    weights: str | None = None
    """The stage whose weights it begins with, or start; null takes those of the last stage before it that trains."""
    learns_from: str | None = None
    """The stage before it whose kept episodes it learns from."""
    hands_on: Literal["last", "best"] = "last"
    """Of a stage that trains: which weights the next one gets, those of its last step or of its best validation."""


class ChainConfig(Block):
    """A chain: everything that it reads, checked."""

    engine: Annotated[Literal["chain"], Instead("Each stage's configuration names its own.")] = "chain"
    """Always chain."""
    exp_name: Name
    """Name of the experiment."""
    output_dir: Filled
    """The chain's own folder; each stage has one in it."""
    resume: bool | Filled = False
    """True resumes output_dir, or the newest chain of this name; a folder resumes that chain."""
    resume_from_checkpoint: bool | Filled = False
    """ROLL's name for resume."""
    pretrain: Filled
    """The weights that the chain begins with: small, a folder, or a Hugging Face name."""
    seed: int = Field(42, ge=0)
    """The seed of every stage that does not set its own."""
    config_folder: Filled | None = None
    """The folder of the stages' configurations; null takes the shipped ones."""
    pythons: Pythons = Pythons()
    """The interpreters of the stages."""
    shared: Mapping[str, Any] = Field(default_factory=dict)
    """Keys that every stage's configuration gets, before its own."""
    stages: Mapping[str, Stage]
    """The stages by name, in their order."""

    def resumed(self) -> Self:
        """The same with `resume` said under either of its two names."""
        return self.model_copy(update={"resume": self.resume or self.resume_from_checkpoint})


def read_chain(values: Mapping[str, Any]) -> ChainConfig:
    """Check a composed configuration of a chain; the stages' own configurations are looked at later.

    Raises:
        InvalidValueError: lists every key that is unknown or impossible.
    """
    config = read(ChainConfig, values, unread=lambda block: {} if block else _of_stages(values)).resumed()
    raise_if([*_problems(config), *pretrain_problems(config.pretrain)])
    return config


def overrides(values: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Keys with their values as Hydra's overrides, such as `play.concurrency=8`.

    Args:
        values: nested, as in YAML.
        path: the keys above them.
    """
    for name, value in values.items():
        key = f"{path}.{name}" if path else str(name)
        if isinstance(value, Mapping) and value:
            yield from overrides(value, key)
        else:
            yield f"{key}={_word(value)}"


def _of_stages(values: Mapping[str, Any]) -> dict[str, str]:
    """Keys that stages' configurations have: for each the sentence that says how a chain hands it on.

    Args:
        values: the chain as composed, which may hold anything.
    """
    named = {name: stage.get("config") for name, stage in _block(values.get("stages")).items() if _block(stage)}
    having: dict[str, list[str]] = {}
    folder = values.get("config_folder")
    if not isinstance(folder, str | None):  # the check of the keys says so
        return {}
    for name, config in named.items():
        with suppress(InvalidValueError):  # the check of the stage says what is wrong
            for key in compose(str(config), folder=folder):
                having.setdefault(key, []).append(str(name))
    return {key: _handed_on(key, values.get(key), stages, named) for key, stages in having.items()}


def _handed_on(key: str, value: Any, stages: Sequence[str], every: Collection[str]) -> str:
    """How a key is given to the stages that have it; its value, which may be a secret, is not shown."""
    place = key
    while len(inner := _block(value)) == 1:
        [(name, value)] = inner.items()
        place += f".{name}"
    *others, last = stages
    which = f"{', '.join(others)} or {last}" if others else last
    to_one = f"stages.NAME.set.{place} gives it to one (NAME: {which})"
    to_all = f"shared.{place} gives it to all, " if len(stages) == len(every) else ""
    return f"no key of a chain but of its stages: {to_all}{to_one}"


def _block(value: Any) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}


def _word(value: Any) -> str:
    """A value as Hydra's grammar spells it."""
    if isinstance(value, str) and PLAIN.fullmatch(value) and yaml.safe_load(value) == value:
        return value
    return json.dumps(value, ensure_ascii=False)


def _problems(config: ChainConfig) -> Iterator[str]:
    if not config.stages:
        yield "stages: empty; name at least one"
    before: list[str] = []
    for name, stage in config.stages.items():
        path = f"stages.{name}"
        if not STAGE_NAME.fullmatch(name) or name == START:
            yield f"{path}: expected a name of small letters, digits and _, other than {START}"
        for key, other, known in (
            ("weights", stage.weights, [START, *before]),
            ("learns_from", stage.learns_from, before),
        ):
            if other is not None and other not in known:
                yield f"{path}.{key}: {other!r} is no stage before it ({', '.join(known) or 'there is none'})"
        before.append(name)
    if config.config_folder is not None and not Path(config.config_folder).is_dir():
        yield f"config_folder: there is no folder {config.config_folder}"
