"""Errors that the caller can fix: each names the thing, what was found, and the remedy."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any, TypeVar

Choice = TypeVar("Choice", bound=StrEnum)
MOST_PLACES = 3
"""Places of a key that a sentence names at most."""


class TauRetailError(Exception):
    """Base of every error this package raises on purpose; the command line prints it without a traceback."""


class InvalidValueError(TauRetailError, ValueError):
    """A value that cannot be used: an unknown name, an empty selection, an impossible number."""


class MissingDependencyError(TauRetailError, ImportError):
    """A package or data source that is not installed; the message holds the command that brings it."""


class EpisodeStateError(TauRetailError, RuntimeError):
    """A call that does not fit the state of the episode: a step before reset or after the end."""


class UserSetupError(TauRetailError, RuntimeError):
    """A customer behind an API that cannot work, however often it is asked: wrong key, unknown model, bad cassette."""


class BudgetError(UserSetupError):
    """The run's budget for customers is used up; no call was made. A run stops here, with everything saved."""


class UserLeftError(UserSetupError):
    """The person who plays the customer has gone, and no further word will come. A command ends as after Ctrl-C."""


class SnapshotChangedError(TauRetailError, RuntimeError):
    """Somebody has changed the database that all episodes share; every result of this process is in doubt."""


def unknown(kind: str, found: object, known: Iterable[str]) -> InvalidValueError:
    """Build the error for a name that is not among the known ones, with the nearest one as a hint.

    Args:
        kind: what the name stands for, such as "task_subset".
        found: the value given.
        known: the names that would have been accepted.

    Returns:
        The error, for the caller to raise.
    """
    names = [str(name) for name in known]
    return InvalidValueError(f"Unknown {kind} {found!r}; known: {', '.join(names)}.{nearest(str(found), names)}")


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that names the nearest known name, for the end of a message; empty where none is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def deeper(name: str, values: Any) -> str:
    """A sentence that names where a key stands in a configuration, for the end of a message; empty where it does not.

    Args:
        name: the key alone, such as learning_rate, which is none at the top.
        values: the configuration, its blocks one in the other.
    """
    found = list(itertools.islice(_places(name, values, ""), MOST_PLACES))
    return f" Did you mean {' or '.join(found)}?" if found else ""


def _places(name: str, values: Any, path: str) -> Iterator[str]:
    if isinstance(values, Mapping):
        for key, value in values.items():
            if key == name and path:
                yield f"{path}{key}"
            yield from _places(name, value, f"{path}{key}.")


def member(kind: str, found: str, choices: type[Choice]) -> Choice:
    """The member of a closed set that a name means.

    Args:
        kind: what the name stands for, such as "prompt_style".
        found: the name given, or the member itself.
        choices: the closed set.

    Raises:
        InvalidValueError: there is no such member.
    """
    try:
        return choices(found)
    except ValueError:
        raise unknown(kind, found, choices) from None
