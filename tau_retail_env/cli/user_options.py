"""Which customer a command plays with: what --user-strategy, --user-model and --user say."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from tau_retail_env.env import TauRetailEnv
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.tasks import Task
from tau_retail_env.users import check_user, user_weights
from tau_retail_env.users.llm.address import ADDRESS, with_hidden_keys, with_variables

COLON_BEFORE_NUMBER = re.compile(r":(?=[\d.])")
"""What YAML takes for a part of the name before it, where a configuration's overrides do not."""
TEXTS = frozenset(("base_url", "api_key_env", "cassette", "phrasings"))
"""Settings of which an empty value is no null but a variable that was not set: another server would be asked."""
OFFLINE = "scripted"
"""The strategy that needs no server, which commands take where nothing else is said."""


@dataclass(frozen=True, slots=True)
class UserChoice:
    """A customer as a run's `user_strategy`, `user_model` and block `user` name it."""

    strategy: str | Mapping[str, float] = OFFLINE
    """A strategy, or the weights of several."""
    model: str | None = None
    """The model behind an API customer."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The block `user`."""
    options: Sequence[str] = ()
    """The same as it was typed."""

    @classmethod
    def read(cls, strategy: str, model: str | None, settings: Sequence[str]) -> UserChoice:
        """Read the options of a command; values are YAML, as in a run.

        Args:
            strategy: a name, or weights such as "{scripted: 0.7, llm: 0.3}", with or without the spaces.
            model: the model's name.
            settings: `key=value` each; `user.key=value`, as a run takes it, is the same.

        Raises:
            InvalidValueError: a setting that is no `key=value`, or not YAML; it is not repeated: it could hold a key.
        """
        block = settings_of("--user", settings)
        weights = strategy
        if strategy.lstrip().startswith("{"):
            weights = _value("--user-strategy", COLON_BEFORE_NUMBER.sub(": ", strategy))
        typed = [] if strategy == OFFLINE else ["--user-strategy", strategy]
        typed += [] if model is None else ["--user-model", model]
        typed += ["--user", *map(_typed, settings)] if settings else []
        return cls(weights, model, block, tuple(typed))

    @property
    def strategies(self) -> Sequence[str]:
        """Who may play.

        Raises:
            InvalidValueError: an unknown strategy, or weights that cannot be.
        """
        return tuple(user_weights(self.strategy))

    @property
    def is_repeatable(self) -> bool:
        """Whether the same task and seed give the same conversation again."""
        return set(self.strategies) == {OFFLINE} or bool(self.settings.get("cassette"))

    def at_once(self, option: str, asked: int | None, most: int) -> int:
        """How many episodes are played at once: one where a person is the customer, for there is one terminal.

        Args:
            option: the option that says it, for the error.
            asked: its value, None where it is left out.
            most: what is taken then.

        Raises:
            InvalidValueError: more than one is asked of a person.
        """
        if "human" not in self.strategies:
            return asked or most
        if (asked or 1) > 1:
            raise InvalidValueError(f"{option} {asked}: a person plays one episode at a time; leave it out")
        return 1

    def environment(self, tasks: Sequence[Task], **more: Any) -> TauRetailEnv:
        """An environment with this customer; no server is asked anything.

        Args:
            tasks: of one source.
            more: further arguments of `TauRetailEnv`.

        Raises:
            InvalidValueError: a strategy, model or setting that cannot be.
        """
        return TauRetailEnv(
            source=tasks[0].source,
            tasks=tasks,
            user_strategy=self.strategy,
            user_model=self.model,
            user_config=self.settings,
            **more,
        )

    def check_server(self) -> None:
        """Make sure that the server of an API customer can be used.

        Raises:
            UserSetupError: it cannot; the message says why.
        """
        check_user(self.strategy, self.settings, model=self.model)

    def as_typed(self) -> str:
        """The options for another command, quoted for a shell; with a space before them where there are any."""
        return "".join(f" {shlex.quote(word)}" for word in self.options)


def settings_of(option: str, words: Sequence[str]) -> dict[str, Any]:
    """The settings of a model behind an API, as an option gives them; values are YAML, as in a run.

    Args:
        option: the option's name, for the error.
        words: `key=value` each; `user.key=value`, as a run takes it, is the same.

    Raises:
        InvalidValueError: a setting that is no `key=value`, an empty path or name, or not YAML; it is not repeated:
            it could hold a key.
    """
    block = {}
    for number, setting in enumerate(words, start=1):
        key, equals, text = setting.partition("=")
        if not equals or not key.removeprefix("user.").isidentifier():
            raise InvalidValueError(
                f"{option}: word {number} is no key=value; expected settings such as base_url=http://127.0.0.1:8000/v1"
            )
        name = key.removeprefix("user.")
        if not text.strip() and name in TEXTS:
            raise InvalidValueError(f"{option} {name}: found an empty value; give one, or null for the default")
        block[name] = with_hidden_keys(_value(f"{option} {name}", text), name)
    return block


def _typed(setting: str) -> str:
    """A setting as another command takes it: a key in an address is in a variable by then."""
    name, equals, text = setting.partition("=")
    return f"{name}{equals}{with_variables(text)}" if name.removeprefix("user.") == ADDRESS else setting


def _value(name: str, text: str) -> Any:
    try:
        return yaml.safe_load(text) if text.strip() else None
    except yaml.YAMLError:
        raise InvalidValueError(f"{name}: the value is not valid YAML; put it in quotes if it is a text") from None
