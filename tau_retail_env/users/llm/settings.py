"""The settings of a customer behind an API: the block `user:`, checked before anything is sent."""

from __future__ import annotations

import dataclasses
import ipaddress
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tau_retail_env.errors import InvalidValueError, unknown

OPENAI_URL = "https://api.openai.com/v1"


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiSettings:
    """Which model plays the customer, where it is served, and what a call may take.

    Two equal settings share everything that is one per process: client, circuit breaker, slots, cassette.
    """

    model: str
    """Name of the model, as its server knows it (`user_model` in YAML)."""
    base_url: str = OPENAI_URL
    """Where the OpenAI chat API is served, up to and without `/chat/completions`."""
    temperature: float | None = None
    """Sampling temperature; None sends none, the server's own counts."""
    max_tokens: int | None = None
    """Tokens of one reply at most; None sends no limit."""
    seed: int | None = None
    """Sampling seed for servers that honour one; None sends none."""
    timeout_s: float = 60.0
    """Seconds that one attempt may take, connecting and slow tokens included."""
    max_retries: int = 12
    """Further attempts after the first; a call takes `(timeout_s + 8) * (1 + max_retries)` seconds at most."""
    max_concurrency: int = 64
    """Requests to the endpoint at the same time, over all threads and processes of the user on this machine."""
    budget_usd: float | None = None
    """Dollars that a run may spend on customers; None for no limit."""
    api_key_env: str = "OPENAI_API_KEY"
    """Name of the environment variable that holds the key; a server on this machine needs none."""
    cassette: str | None = None
    """File that answers repeated requests and takes up new ones; None for none."""
    usd_per_million_input_tokens: float | None = None
    """Price of a million prompt tokens in dollars; None: unknown."""
    usd_per_million_output_tokens: float | None = None
    """Price of a million completion tokens in dollars; None: unknown."""

    @classmethod
    def read(cls, model: str | None, block: Mapping[str, Any] | None) -> ApiSettings:
        """Read the block `user:`.

        Args:
            model: the value of `user_model`.
            block: the other settings by name; what is left out keeps its default, and so does a null.

        Returns:
            The settings, checked as far as that is possible without the network.

        Raises:
            InvalidValueError: the first thing that is wrong, by its name.
        """
        known = [field.name for field in dataclasses.fields(cls) if field.name != "model"]
        given = dict(block or {})
        for name in given:
            if name not in known:
                raise unknown("key of an API customer's settings (user:)", name, known)
        if not isinstance(model, str) or not model.strip():
            raise InvalidValueError(
                f"user_model: found {model!r}, expected the name of a model, e.g. user_model=gpt-4o: this "
                "user_strategy has a model play the customer"
            )
        return _checked(cls(model=model.strip(), **{name: value for name, value in given.items() if value is not None}))

    @property
    def is_loopback(self) -> bool:
        """Whether the endpoint is on this machine."""
        host = urlsplit(self.base_url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost" or host.endswith(".localhost")

    def cost_usd(self, prompt_tokens: int, completion_tokens: int) -> float | None:
        """Dollars that so many tokens cost; None where the prices are unknown."""
        if self.usd_per_million_input_tokens is None or self.usd_per_million_output_tokens is None:
            return None
        return (
            prompt_tokens * self.usd_per_million_input_tokens + completion_tokens * self.usd_per_million_output_tokens
        ) / 1e6


def _checked(given: ApiSettings) -> ApiSettings:
    """The settings with their numbers as declared, the URL without its last slash, the cassette's path resolved."""
    prices = ("usd_per_million_input_tokens", "usd_per_million_output_tokens")
    settings = dataclasses.replace(
        given,
        base_url=_url(given.base_url),
        timeout_s=_number("timeout_s", given.timeout_s, above=0),
        max_retries=_whole("max_retries", given.max_retries, minimum=0),
        max_concurrency=_whole("max_concurrency", given.max_concurrency, minimum=1),
        temperature=None if given.temperature is None else _number("temperature", given.temperature, minimum=0),
        max_tokens=None if given.max_tokens is None else _whole("max_tokens", given.max_tokens, minimum=1),
        seed=None if given.seed is None else _whole("seed", given.seed),
        budget_usd=None if given.budget_usd is None else _budget(given.budget_usd),
        api_key_env=_variable(given.api_key_env),
        cassette=None if given.cassette is None else _cassette(given.cassette),
        usd_per_million_input_tokens=_price(prices[0], given.usd_per_million_input_tokens),
        usd_per_million_output_tokens=_price(prices[1], given.usd_per_million_output_tokens),
    )
    missing = [name for name in prices if getattr(settings, name) is None]
    if len(missing) == 1 or (missing and settings.budget_usd is not None):
        reason = "one price without the other is no cost" if len(missing) == 1 else "budget_usd needs to know the cost"
        raise InvalidValueError(
            f"user.{missing[0]} is missing: {reason}; give user.{prices[0]} and user.{prices[1]} as the provider "
            "lists them, in dollars for a million tokens"
        )
    return settings


def _number(
    name: str, value: object, *, minimum: float | None = None, above: float | None = None, hint: str = ""
) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        raise InvalidValueError(f"user.{name}: found {value!r}, expected a number{hint}")
    if minimum is not None and value < minimum:
        raise InvalidValueError(f"user.{name}: found {value}, expected {minimum} or more{hint}")
    if above is not None and value <= above:
        raise InvalidValueError(f"user.{name}: found {value}, expected more than {above}{hint}")
    return float(value)


def _whole(name: str, value: object, *, minimum: int | None = None) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidValueError(f"user.{name}: found {value!r}, expected a whole number")
    if minimum is not None and value < minimum:
        raise InvalidValueError(f"user.{name}: found {value}, expected {minimum} or more")
    return value


def _price(name: str, value: object) -> float | None:
    return None if value is None else _number(name, value, minimum=0)


def _budget(value: object) -> float:
    return _number("budget_usd", value, above=0, hint="; null for no limit, user_strategy=scripted for no cost")


def _url(value: object) -> str:
    expected = "expected an address such as http://127.0.0.1:8000/v1"
    if not isinstance(value, str):
        raise InvalidValueError(f"user.base_url: found {value!r}, {expected}")
    try:
        parts = urlsplit(value.strip())
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise InvalidValueError(f"user.base_url: found {value!r}, {expected}") from None
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise InvalidValueError(
            "user.base_url: holds a user name, a password, a query or a fragment, which would appear in messages; "
            "give the plain address, and the key by user.api_key_env"
        )
    if parts.scheme not in ("http", "https") or not host:
        raise InvalidValueError(f"user.base_url: found {value!r}, {expected}")
    plain = value.strip().rstrip("/")
    if plain.endswith("/chat/completions"):
        raise InvalidValueError(
            f"user.base_url: found {plain!r}, expected it without the end: {plain.removesuffix('/chat/completions')!r}"
        )
    return plain


def _variable(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Z_][A-Z0-9_]*", value):
        raise InvalidValueError(
            "user.api_key_env: expected the name of an environment variable such as OPENAI_API_KEY (A to Z, 0 to 9, "
            "_), found something else, not repeated here: if it is the key itself, that belongs into the variable"
        )
    return value


def _cassette(value: object) -> str:
    if not isinstance(value, (str, Path)) or not str(value).strip():
        raise InvalidValueError(f"user.cassette: found {value!r}, expected the path of a file, e.g. customers.jsonl")
    path = Path(value).expanduser().absolute()
    if path.is_dir():
        raise InvalidValueError(f"user.cassette: {path} is a folder, expected a file, e.g. {path / 'customers.jsonl'}")
    return str(path)
