"""Which agent is meant by a word on the command line: a name, a folder, an address, or a function of one's own."""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, Literal

from tau_retail_env.agents.bad import BAD_AGENTS
from tau_retail_env.agents.base import Agent
from tau_retail_env.agents.chance import RandomAgent
from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.errors import InvalidValueError, TauRetailError, nearest, unknown
from tau_retail_env.messages import AgentMessage
from tau_retail_env.tasks.task import Task
from tau_retail_env.urls import without_secrets
from tau_retail_env.users.llm.address import plain_address

ORACLE = "oracle"
RANDOM = "random"
NAMES = (ORACLE, *BAD_AGENTS, RANDOM)
"""The agents that come with the package."""
CHECKPOINT_FILE = "config.json"
A_FUNCTION = "expected a function that takes nothing and returns an object with act(observation, info)"

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
    def read(cls, word: str, models: Mapping[str, Path] = MappingProxyType({})) -> AgentChoice:
        """Tell what a word means.

        Args:
            word: a name in `NAMES` or `models`, a folder with config.json, http://… or https://…, or module:function.
            models: folders of models by the words that stand for them.

        Raises:
            InvalidValueError: none of these; the message names the nearest.
        """
        if word in NAMES:
            return cls("name", word)
        if word.startswith(("http://", "https://")):
            return cls("server", _address(word))
        path = Path(models.get(word, word)).expanduser()
        if path.is_dir() and word:
            if not (path / CHECKPOINT_FILE).is_file():
                raise InvalidValueError(f"--agent: {path} holds no model ({CHECKPOINT_FILE} is missing){_inside(path)}")
            return cls("checkpoint", str(path.resolve()))
        if path.is_file():
            raise InvalidValueError(
                f"--agent: {path} is a file; a model is given by its folder, a function in a file as module:function, "
                "such as my_agents:make"
            )
        module, colon, function = word.partition(":")
        told = without_secrets(word)
        if colon and ("/" in word or module.endswith(".py") or not function.isidentifier()):
            raise InvalidValueError(
                f"--agent: {told} is no folder; a server's address begins with http:// or https://, and "
                "module:function names a module as Python imports it, with dots and without .py"
            )
        if colon:
            return cls("function", word)
        if "/" in word:
            raise InvalidValueError(
                f"--agent: there is no folder {path}; a model of the Hugging Face Hub is downloaded first, with "
                "hf download NAME --local-dir FOLDER"
            )
        hint = f"{unknown('agent', word, (*NAMES, *models))}"
        raise InvalidValueError(f"--agent: {hint} Or give a model's folder, an http address, or module:function")


def _address(word: str) -> str:
    try:
        return plain_address(word)
    except ValueError as error:
        raise InvalidValueError(f"--agent, an address: {error}") from None


def _inside(folder: Path) -> str:
    """The models that a run's folder holds, the best first, as the end of a message."""
    found = [*folder.glob(f"*/{CHECKPOINT_FILE}"), *folder.glob(f"checkpoints/*/{CHECKPOINT_FILE}")]
    models = sorted(str(file.parent) for file in found)
    return f"; did you mean {' or '.join(models[:3])}?" if models else ""


def check_model(choice: AgentChoice, model: str | None) -> None:
    """Refuse a server without the name of a model, and the name of a model without a server.

    Args:
        choice: who plays.
        model: what --model says.

    Raises:
        InvalidValueError: one without the other.
    """
    if choice.kind == "server" and not model:
        raise InvalidValueError(f"--agent {choice.word}: name the model that is to be asked there, with --model NAME")
    if choice.kind != "server" and model is not None:
        raise InvalidValueError(
            f"--model {model}: {choice.word} is no server's address, such as --agent http://127.0.0.1:8000/v1; "
            "give one, or leave --model out"
        )


def made_here(choice: AgentChoice) -> MakeAgent:
    """How the agents of a name or a function are made.

    Args:
        choice: of kind "name" or "function".

    Raises:
        InvalidValueError: a module or function that cannot be had, or one whose agents cannot act.
    """
    if choice.kind == "function":
        make = _function(choice.word)
        return lambda task, seed: _OwnAgent(choice.word, make)
    if choice.word == ORACLE:
        return lambda task, seed: OracleAgent(task)
    if choice.word == RANDOM:
        return lambda task, seed: RandomAgent(f"{task.id}/{seed}")
    bad = BAD_AGENTS[choice.word]
    return lambda task, seed: bad(task)


class _OwnAgent:
    """An agent of the caller's own for one episode: what it raises is told in a line, with the place in its module."""

    def __init__(self, word: str, make: Callable[[], Any]) -> None:
        self._word = word
        self._module = sys.modules[word.partition(":")[0]]
        try:
            self._agent = make()
        except Exception as error:
            raise InvalidValueError(f"--agent: {word}() {_raised(error, self._module)}") from error

    @property
    def usage(self) -> Mapping[str, Any] | None:
        """What its calls took, where it says so."""
        return getattr(self._agent, "usage", None)

    def act(self, observation: str, info: Mapping[str, Any]) -> AgentMessage | str:
        """Say or call the next thing.

        Raises:
            InvalidValueError: the agent raises an error that is none of this package's.
        """
        try:
            answer: AgentMessage | str = self._agent.act(observation, info)
        except TauRetailError:
            raise
        except Exception as error:
            raise InvalidValueError(f"--agent: act() of {self._word}'s agent {_raised(error, self._module)}") from error
        return answer


def _function(word: str) -> Callable[[], Any]:
    """A function without arguments that makes an agent for one episode.

    Raises:
        InvalidValueError: there is none.
    """
    module_name, _, name = word.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise InvalidValueError(
            f"--agent: the module {module_name!r} cannot be imported: {error}; it is looked for in the folder in which "
            "the command is typed, and where Python looks"
        ) from error
    except Exception as error:
        raise InvalidValueError(f"--agent: the module {module_name!r} {_raised(error)}") from error
    made = getattr(module, name, None)
    if made is None:
        raise InvalidValueError(
            f"--agent: the module {module_name!r} has no {name!r}.{nearest(name, _callables(module))}"
        )
    if not callable(made):
        raise InvalidValueError(f"--agent: {word} is no function but {type(made).__name__}; {A_FUNCTION}")
    if not _takes_nothing(made):
        raise InvalidValueError(f"--agent: {word} takes arguments; {A_FUNCTION}")
    try:
        agent = made()
    except Exception as error:
        raise InvalidValueError(f"--agent: {word}() {_raised(error, module)}") from error
    if not callable(getattr(agent, "act", None)):
        raise InvalidValueError(
            f"--agent: {word}() made {type(agent).__name__} without a method act(observation, info)"
        )
    return made  # type: ignore[no-any-return]


def _callables(module: ModuleType) -> list[str]:
    """What a module has that may make an agent."""
    return [name for name, found in vars(module).items() if callable(found) and not name.startswith("_")]


def _takes_nothing(made: Callable[..., Any]) -> bool:
    """Whether a function can be called without arguments, as far as Python can tell."""
    try:
        inspect.signature(made).bind()
    except TypeError:
        return False
    except ValueError:  # a built-in one without a signature
        return True
    return True


def _raised(error: Exception, module: ModuleType | None = None) -> str:
    """What a module or function of the caller's own has raised, and where: in the module itself if it can be told."""
    frames = [one for one in traceback.extract_tb(error.__traceback__) if not one.filename.startswith("<frozen")]
    beyond = [one for one in frames if one.filename not in (__file__, importlib.__file__)]
    own = [one for one in beyond if module is not None and one.filename == module.__file__] or beyond
    place = f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""
    return f"raises {type(error).__name__}: {str(error)[:200]}{place}"
