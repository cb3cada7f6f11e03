"""A server's address as settings hold it, without secrets: a key in its path stands there as a variable's name."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from tau_retail_env.errors import UserSetupError
from tau_retail_env.urls import HIDDEN, segments_of, shown_url

VARIABLE = re.compile(r"\$([A-Z_][A-Z0-9_]*)")
"""The name of an environment variable in an address."""
PREFIX = "TAU_RETAIL_URL_KEY_"
"""How the variables begin in which this package puts what was written out."""
ADDRESS = "base_url"
"""The key of a configuration that holds an address, wherever it stands."""
AS_SENT = re.compile(r"([A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})+")
"""What stands in a path as it is sent (RFC 3986, 3.3): all else is another text in a client's log, or ends the path."""
AS_IS = "~!$&'()*+,;=:@"
"""Of these, the marks that `quote` would encode."""
CLIENTS = ("httpx", "httpx2", "openai._base_client")
"""Loggers that would tell the whole address of a request."""


def plain_address(value: str) -> str:
    """A server's address without its last slash, and with variables in place of keys in its path.

    Args:
        value: the address, up to and without `/chat/completions`.

    Raises:
        ValueError: it is none, or holds what messages must not repeat.
    """
    expected = "expected an address such as http://127.0.0.1:8000/v1"
    found = repr(shown_url(value.strip()))
    try:
        parts = urlsplit(value.strip())
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError(f"found {found}, {expected}") from None
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ValueError(
            "holds a user name, a password, a query or a fragment, which would appear in messages; "
            "give the plain address, and the key by api_key_env"
        )
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError(f"found {found}, {expected}")
    plain = value.strip().rstrip("/")
    if plain.endswith("/chat/completions"):
        instead = shown_url(plain.removesuffix("/chat/completions"))
        raise ValueError(f"found {shown_url(plain)!r}, expected it without the end: {instead!r}")
    return with_variables(plain)


def with_variables(url: str) -> str:
    """An address in whose path the name of an environment variable stands for each part that looks like a key.

    The variable is set for this process and those that it starts. Its name is made of the host's, so that no key goes
    to another host. What has no such part, or is no address, comes back as it was.

    Args:
        url: the address.
    """
    start, mark, rest = url.partition("://")
    place, slash, path = rest.partition("/")
    if not mark or not slash or "@" in place or not place:
        return url
    parts = [f"${_variable(place, _as_sent(one))}" if is_key else one for one, is_key in segments_of(path)]
    return f"{start}{mark}{place}{slash}{'/'.join(parts)}"


def with_hidden_keys(values: Any, name: str = "") -> Any:
    """A configuration whose addresses, keys `base_url` at any depth, are as `with_variables` makes them.

    Args:
        values: the configuration, or one value of it.
        name: the value's key.
    """
    if isinstance(values, Mapping):
        return {key: with_hidden_keys(value, str(key)) for key, value in values.items()}
    if isinstance(values, list):
        return [with_hidden_keys(value) for value in values]
    is_address = isinstance(values, str) and name.rpartition(".")[2] == ADDRESS
    return with_variables(values) if is_address else values


def variables_of(url: str) -> list[str]:
    """The names of the environment variables in an address."""
    return VARIABLE.findall(url)


def whole(url: str) -> str:
    """The address to which requests go: what its variables hold stands in place of their names.

    Args:
        url: as settings hold it.

    Raises:
        UserSetupError: a variable is not set, or holds what no path can.
    """
    return VARIABLE.sub(lambda found: _value(found[1], url), url)


def secrets_of(url: str) -> list[str]:
    """What the variables of an address hold, also as a server reads it; those that are not set are left out."""
    values = [value for name in variables_of(url) if (value := os.environ.get(name, "").strip())]
    return list(dict.fromkeys(form for value in values for form in (value, unquote(value))))


def keep_out_of_logs(url: str) -> None:
    """Have the HTTP client's own log lines say what settings say, not what the variables of an address hold."""
    if secrets := tuple(secrets_of(url)):
        for name in CLIENTS:
            logging.getLogger(name).addFilter(_Without(secrets))


def without(text: str, secrets: Iterator[str] | list[str] | tuple[str, ...]) -> str:
    """A text in which something stands in place of secrets."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    return text


@dataclass(frozen=True)
class _Without(logging.Filter):
    """Takes secrets out of log records."""

    secrets: tuple[str, ...]

    def filter(self, record: logging.LogRecord) -> bool:
        if any(secret in (text := record.getMessage()) for secret in self.secrets):
            record.msg, record.args = without(text, self.secrets), ()
        return True


def _variable(host: str, key: str) -> str:
    """The environment variable that holds a key of a host; it is set where none does."""
    base = PREFIX + re.sub(r"[^A-Z0-9]", "_", host.upper())
    number = 1
    while os.environ.setdefault(name := base if number == 1 else f"{base}_{number}", key) != key:
        number += 1
    return name


def _value(name: str, url: str) -> str:
    value = os.environ.get(name, "").strip()
    if not value:
        again = (
            ", or give the address again: what looks like a key is not written down" if name.startswith(PREFIX) else ""
        )
        raise UserSetupError(
            f"user.base_url: {url} needs the environment variable {name}, which is not set: export {name}=…{again}"
        )
    if not AS_SENT.fullmatch(value):
        raise UserSetupError(
            f"The environment variable {name} holds characters that no path of an address has; export it again, those "
            "percent-encoded (%7C for |)"
        )
    return value


def _as_sent(part: str) -> str:
    """A part of a path as a client sends it: what is percent-encoded stays so."""
    is_encoded = not re.search(r"%(?![0-9A-Fa-f]{2})", part)
    return quote(part, safe=f"{AS_IS}%" if is_encoded else AS_IS)
