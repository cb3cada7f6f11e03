"""The settings of a customer behind an API: the block `user:`, checked before anything is sent."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

from tau_retail_env.blocks import Block, Instead, attempt, raise_if
from tau_retail_env.users.llm.address import plain_address

OPENAI_URL = "https://api.openai.com/v1"
PRICES = ("usd_per_million_input_tokens", "usd_per_million_output_tokens")


def _variable(value: object) -> str:
    """The name of a variable; before the check of the type, whose message would repeat a key."""
    if not isinstance(value, str) or not re.fullmatch(r"[A-Z_][A-Z0-9_]*", value):
        raise ValueError(
            "expected the name of an environment variable such as OPENAI_API_KEY (A to Z, 0 to 9, "
            "_), found something else, not repeated here: if it is the key itself, that belongs into the variable"
        )
    return value


def _cassette(value: object) -> str | None:
    """The path, resolved."""
    if value is None:
        return None
    if not isinstance(value, (str, Path)) or not str(value).strip():
        raise ValueError(f"found {value!r}, expected the path of a file, e.g. customers.jsonl")
    path = Path(value).expanduser().absolute()
    if path.is_dir():
        raise ValueError(f"{path} is a folder, expected a file, e.g. {path / 'customers.jsonl'}")
    return str(path)


class ApiSettings(Block):
    """Which model plays the customer, where it is served, and what a call may take.

    Two equal settings share everything that is one per process: client, circuit breaker, slots, cassette.
    """

    model: str
    """Name of the model, as its server knows it (`user_model` in YAML)."""
    base_url: Annotated[str, AfterValidator(plain_address)] = OPENAI_URL
    """Where the OpenAI chat API is served, up to and without `/chat/completions`; `$NAME` in its path is an environment
    variable, and what looks like a key there becomes one."""
    temperature: float | None = Field(None, ge=0)
    """Sampling temperature; None sends none, the server's own counts."""
    max_tokens: int | None = Field(None, ge=1)
    """Tokens of one reply at most; None sends no limit."""
    seed: int | None = None
    """Sampling seed for servers that honour one; None sends none."""
    timeout_s: float = Field(60.0, gt=0)
    """Seconds that one attempt may take, connecting and slow tokens included."""
    max_retries: int = Field(12, ge=0)
    """Further attempts after the first; a call takes `(timeout_s + 8) * (1 + max_retries)` seconds at most."""
    max_response_mb: float = Field(8.0, gt=0)
    """Megabytes (10^6 bytes) of one answer, unpacked; a longer one counts as a failure of that attempt."""
    max_concurrency: int = Field(64, ge=1)
    """Requests to the endpoint at the same time, over all threads and processes of the user on this machine."""
    budget_usd: Annotated[
        float | None, Field(gt=0), Instead("null is no limit, user_strategy=scripted costs nothing.")
    ] = None
    """Dollars that a run may spend on customers; None for no limit."""
    api_key_env: Annotated[str, BeforeValidator(_variable)] = "OPENAI_API_KEY"
    """Name of the environment variable that holds the key; a server on this machine needs none."""
    cassette: Annotated[str | None, BeforeValidator(_cassette)] = None
    """File that answers repeated requests and takes up new ones; None for none."""
    unscorable_loops: bool = False
    """Whether an episode is not scored whose customer speaks as the agent or goes round in circles."""
    usd_per_million_input_tokens: float | None = Field(None, ge=0)
    """Price of a million prompt tokens in dollars; None: unknown."""
    usd_per_million_output_tokens: float | None = Field(None, ge=0)
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
            InvalidValueError: lists everything that is wrong, each by its full path.
        """
        settings, problems = cls.attempt(model, block)
        raise_if(problems)
        assert settings is not None, "without a problem there are settings"
        return settings

    @classmethod
    def attempt(
        cls, model: str | None, block: Mapping[str, Any] | None, *, path: str = "", name: str = "user"
    ) -> tuple[ApiSettings | None, list[str]]:
        """Read the block as `read` does, but return the problems: the settings, or None with at least one of them.

        Args:
            model: the value of `user_model`.
            block: the other settings by name.
            path: what stands before the names of both keys, such as "custom_envs.retail_test.env_config.".
            name: the block's own name.
        """
        given = {key: value for key, value in (block or {}).items() if value is not None}
        problems = []
        if "model" in given:
            problems.append(f"{path}{name}.model: unknown key. {path}user_model names the model.")
        if not isinstance(model, str) or not model.strip():
            problems.append(
                f"{path}user_model: found {model!r}, expected the name of a model, e.g. user_model=gpt-4o: this "
                "user_strategy has a model play the customer"
            )
        settings, found = attempt(cls, {**given, "model": str(model).strip()}, path=f"{path}{name}")
        problems += found or _without_prices(given, f"{path}{name}")
        return (None, problems) if problems else (settings, [])

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


def _without_prices(given: Mapping[str, Any], path: str) -> list[str]:
    missing = [name for name in PRICES if name not in given]
    if (len(missing) == 2 and "budget_usd" not in given) or not missing:
        return []
    reason = "one price without the other is no cost" if len(missing) == 1 else "budget_usd needs to know the cost"
    return [
        f"{path}.{missing[0]} is missing: {reason}; give {path}.{PRICES[0]} and {path}.{PRICES[1]} as the provider "
        "lists them, in dollars for a million tokens"
    ]
