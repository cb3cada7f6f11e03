"""Which agent is meant by a word on the command line: a name, a folder, an address, or a function of one's own."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tau_retail_env.agents.bad import BAD_AGENTS
from tau_retail_env.agents.base import Agent
from tau_retail_env.agents.chance import RandomAgent
from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.errors import InvalidValueError, unknown
from tau_retail_env.tasks.task import Task

ORACLE = "oracle"
RANDOM = "random"
NAMES = (ORACLE, *BAD_AGENTS, RANDOM)
"""The agents that come with the package."""
CHECKPOINT_FILE = "config.json"

MakeAgent = Callable[[Task, int], Agent]
"""Makes the agent for one episode from its task and the trial's seed."""


@dataclass(frozen=True, slots=True)
class AgentChoice:
    """An agent as the command line names it."""

    kind: Literal["name", "checkpoint", "server", "function"]
    """What the word is: one of `NAMES`, a folder with weights, an address, or module:function."""
    word: str
    """The word; a folder's whole path."""

    @classmethod
    def read(cls, word: str) -> AgentChoice:
        """Tell what a word means.

        Args:
            word: a name in `NAMES`, a folder with config.json, http://… or https://…, or module:function.

        Raises:
            InvalidValueError: none of these; the message names the nearest.
        """
        if word in NAMES:
            return cls("name", word)
        if word.startswith(("http://", "https://")):
            return cls("server", word.rstrip("/"))
        path = Path(word).expanduser()
        if path.is_dir():
            if not (path / CHECKPOINT_FILE).is_file():
                raise InvalidValueError(f"--agent: {path} holds no model ({CHECKPOINT_FILE} is missing)")
            return cls("checkpoint", str(path.resolve()))
        if "/" in word and ":" in word:
            raise InvalidValueError(
                f"--agent: {word} is no folder; a server's address begins with http:// or https://, and "
                "module:function names a module as Python imports it, with dots"
            )
        if ":" in word:
            return cls("function", word)
        hint = f"{unknown('agent', word, NAMES)}"
        raise InvalidValueError(f"--agent: {hint} Or give a model's folder, an http address, or module:function")


def made_here(choice: AgentChoice) -> MakeAgent:
    """How the agents of a name or a function are made.

    Args:
        choice: of kind "name" or "function".

    Raises:
        InvalidValueError: a module or function that cannot be had, or one whose agents cannot act.
    """
    if choice.kind == "function":
        make = _function(choice.word)
        return lambda task, seed: make()
    if choice.word == ORACLE:
        return lambda task, seed: OracleAgent(task)
    if choice.word == RANDOM:
        return lambda task, seed: RandomAgent(f"{task.id}/{seed}")
    bad = BAD_AGENTS[choice.word]
    return lambda task, seed: bad(task)


def _function(word: str) -> Callable[[], Any]:
    """A function without arguments that makes an agent for one episode.

    Raises:
        InvalidValueError: there is none.
    """
    module_name, _, name = word.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        made = getattr(importlib.import_module(module_name), name)
    except ImportError as error:
        raise InvalidValueError(f"--agent: the module {module_name!r} cannot be imported: {error}") from error
    except AttributeError:
        raise InvalidValueError(f"--agent: the module {module_name!r} has no {name!r}") from None
    except Exception as error:
        raise InvalidValueError(f"--agent: the module {module_name!r} {_raised(error)}") from error
    if not callable(made):
        raise InvalidValueError(f"--agent: {word} is no function but {type(made).__name__}")
    try:
        agent = made()
    except Exception as error:
        raise InvalidValueError(f"--agent: {word}() {_raised(error)}") from error
    if not callable(getattr(agent, "act", None)):
        raise InvalidValueError(
            f"--agent: {word}() made {type(agent).__name__} without a method act(observation, info)"
        )
    return made


def _raised(error: Exception) -> str:
    """What a module or function of one's own has raised, and where."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"raises {type(error).__name__}: {str(error)[:200]} ({last.filename}, line {last.lineno})"
