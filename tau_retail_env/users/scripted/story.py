"""What the customer of a free-text task does, read from stories.toml beside this file."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from importlib import resources
from typing import Any

from tau_retail_env.errors import InvalidValueError, unknown
from tau_retail_env.sources.registry import source_class
from tau_retail_env.tasks.task import Action, Task
from tau_retail_env.tasks.writes import WRITE_TOOLS
from tau_retail_env.users.scripted.listening import Fact

FILE = "stories.toml"
WORDED_FACTS: Mapping[str, Fact] = {
    "order": Fact.ORDER,
    "items": Fact.ITEMS,
    "options": Fact.OPTIONS,
    "payment": Fact.PAYMENT,
    "reason": Fact.REASON,
    "address": Fact.ADDRESS,
}
"""The keys of `words` in the file, and the facts they word."""
SUBJECTS = ("write", "first", "vain", "ask", "transfer")
"""What a beat can be; each has exactly one of these keys."""
Words = Mapping[Fact, tuple[str, ...]]
"""Fact to the wordings in which the customer answers for it, one each time it is asked."""


@dataclass(frozen=True, slots=True, eq=False)
class Beat:
    """One thing that the customer brings up; the head of stories.toml explains each field."""

    write: int | None = None
    """The gold write it asks for, counted from 0."""
    first: int | None = None
    """The gold write instead of which it asks for something else first."""
    vain: str = ""
    """What it asks for though no gold action grants it."""
    ask: str = ""
    """What it wants to know."""
    transfer: str = ""
    """How it asks for a human agent."""
    outputs: tuple[int, ...] = ()
    """Which of the task's outputs answer the question."""
    answer: str = ""
    """What an agent may answer where no output of the task does."""
    say: str = ""
    """The words that open a gold write or what is asked for instead of it."""
    words: Words | None = None
    """How it words facts."""
    turn: str = ""
    """How it changes its mind when asked to confirm."""
    otherwise: bool = False
    """Whether it comes up only after the last impossible request was refused or given up."""
    fails: bool = False
    """Whether the shop refuses the gold write."""
    refusal: str = ""
    """Why an agent refuses it."""
    unmet: str = ""
    """What upstream's text wants and the beat cannot honour."""
    kind: str = ""
    """The kind of request asked for first, empty for that of the gold write."""
    items: tuple[str, ...] = ()
    """The products asked for first, empty for those of the gold write."""
    options: tuple[Mapping[str, str], ...] = ()
    """The options asked for first, for each item."""
    payment: str = ""
    """The source of the payment method asked for first, empty for that of the gold write."""
    calls: tuple[Action, ...] = ()
    """What a good agent looks up and computes for it, in order; for an agent, the customer knows nothing of it."""
    asks: tuple[str, ...] = ()
    """The facts, keys of `words`, that `say` leaves out and an agent has to ask for."""

    @property
    def prose(self) -> str:
        """The words of a beat that no gold write stands behind."""
        return self.vain or self.ask or self.transfer

    @property
    def is_impossible(self) -> bool:
        """Whether the agent is expected to refuse it, or the customer to give it up."""
        return bool(self.vain) or self.first is not None or self.fails


@dataclass(frozen=True, slots=True, eq=False)
class Story:
    """What the customer of one task does."""

    name: str
    """The task it was written for."""
    beats: tuple[Beat, ...]
    """One after another."""
    customer: str | None = None
    """The customer's id, None where the task has it."""
    emails: tuple[str, ...] = ()
    """The emails it gives, one after another; empty where the task's text has them."""
    zips: tuple[str, ...] = ()
    """The zip codes it gives, one after another; empty where the task's text has them."""
    words: Words | None = None
    """How it words facts in every beat that has no words of its own for them."""


def story_of(task: Task) -> Story | None:
    """The story of a task, None for a task that is played from its gold actions alone.

    Args:
        task: a task of any source; the story it brings goes before those of stories.toml.

    Raises:
        InvalidValueError: the task brings a story with an unknown key, or a beat that is not exactly one thing.
    """
    if task.story is not None:
        return _story(task.id, task.story)
    known = stories()
    return next((known[name] for name in source_class(task).story_names(task) if name in known), None)


def check_fit(story: Story, task: Task) -> None:
    """Make sure that a story speaks of gold writes and outputs that its task has.

    Raises:
        InvalidValueError: it does not fit, as a story that was written for another version of the task.
    """
    writes = sum(action.name in WRITE_TOOLS for action in task.actions)
    for beat in story.beats:
        number = beat.first if beat.write is None else beat.write
        if (number is not None and number >= writes) or any(place >= len(task.outputs) for place in beat.outputs):
            version = f" of version {task.version}" if task.version else ""
            raise InvalidValueError(
                f"The scripted customer's story {story.name!r} does not fit task {task.id!r}{version}, which has "
                f"{writes} gold writes and {len(task.outputs)} outputs: it speaks of write {number} and outputs "
                f"{list(beat.outputs)}, counted from 0. Write a story for this task in {FILE}, or take an API customer"
            )


@functools.cache
def stories() -> Mapping[str, Story]:
    """Every story by its name, as the file has them.

    Raises:
        InvalidValueError: an unknown key or a beat that is not exactly one thing.
    """
    text = resources.files(__package__).joinpath(FILE).read_text(encoding="utf-8")
    return read_stories(text)


def read_stories(text: str) -> Mapping[str, Story]:
    """Read stories.

    Args:
        text: the text of a file like stories.toml.

    Raises:
        InvalidValueError: an unknown key, or a beat that is not exactly one thing.
    """
    return {name: _story(name, table) for name, table in tomllib.loads(text).items()}


def _story(name: str, table: Mapping[str, Any]) -> Story:
    given = _checked(f"key of story {name!r}", table, Story)
    beats = tuple(_beat(f"{name!r}, beat {number}", row) for number, row in enumerate(given.pop("beats", ())))
    return Story(name=name, beats=beats, **given)


def _beat(place: str, table: Mapping[str, Any]) -> Beat:
    beat = Beat(**_checked(f"key of story {place}", table, Beat))
    subjects = [key for key in SUBJECTS if key in table]
    if len(subjects) != 1:
        raise InvalidValueError(f"story {place} has {subjects}; expected exactly one of {', '.join(SUBJECTS)}")
    return beat


def _checked(what: str, table: Mapping[str, Any], shape: type) -> dict[str, Any]:
    names = {field.name for field in fields(shape)} - {"name"}
    for key in table:
        if key not in names:
            raise unknown(what, key, sorted(names))
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    if "calls" in table:
        given["calls"] = tuple(Action(row["name"], row["arguments"]) for row in table["calls"])
    if "words" in table:
        given["words"] = _words(what, table["words"])
    return given


def _words(what: str, table: Mapping[str, str | Sequence[str]]) -> Words:
    for key in table:
        if key not in WORDED_FACTS:
            raise unknown(f"fact in the words of {what}", key, WORDED_FACTS)
    return {
        WORDED_FACTS[key]: (wordings,) if isinstance(wordings, str) else tuple(wordings)
        for key, wordings in table.items()
    }
