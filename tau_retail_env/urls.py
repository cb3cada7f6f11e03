"""URLs in messages: without user names, passwords and what looks like a key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote

HIDDEN = "***"
"""What stands where a message leaves a secret out."""
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]+")
AUTHORITY = re.compile(r"[^/?#]*")
PORT = re.compile(r"\d{,5}|[^\[\]]*\]")
"""What may stand behind the last colon of a host: a port, or the end of an IPv6 address."""
NO_PORT = re.compile(r":[^:\[\]]{6,}$")
PARTS = re.compile(r"[A-Za-z0-9]+")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
MARKED = re.compile(
    r"((sk|pk)[-_]|(xai|nvapi)-|(hf|ghp|gsk|r8)_)\S{6,}|[\w-]*(key|token|secret|passw|auth)\w*[=:].+", re.IGNORECASE
)
"""A key by its first letters, as providers write them, or by the name before it; `hf-inference` is a service."""
SAYS_KEY = re.compile(r"(api[-_]?)?keys?|tokens?|secrets?", re.IGNORECASE)
"""A part of a path after which a key stands."""
VERSION = re.compile(r"v\d\w{,6}")
WORD_AND_NUMBER = re.compile(r"[A-Z]?[a-z]+\d{,4}")
MIXED = 12
"""Characters from which on letters mixed with digits are taken for a key."""
PIECE = 6
"""Characters from which on they are taken for a piece of one: a key may have `-` and `_` among its letters."""
LETTERS = 24
"""The same of letters alone, longer than words are."""
DIGITS = 16
"""The same of digits alone, longer than an account's number."""
VARIABLE = re.compile(r"\$[A-Z_][A-Z0-9_]*")
"""An environment variable's name in a path."""


def without_secrets(text: str) -> str:
    """A text whose URLs show scheme, host, port and path alone, the path without what looks like a key.

    Args:
        text: a message, or a URL.
    """
    return URL.sub(lambda found: shown_url(found[0]), text)


def shown_url(url: str) -> str:
    """A URL for a message: `https://host:8000/v1` for `https://user:password@host:8000/v1?key=…`.

    Args:
        url: with or without its scheme; it may be none that can be used.
    """
    scheme, mark, rest = url.partition("://") if "://" in url else ("", "", url)
    authority, path, more = _split(rest)
    _, at, host = authority.rpartition("@")
    host = NO_PORT.sub(f":{HIDDEN}", host)
    segments = "/".join(HIDDEN if is_key else one for one, is_key in segments_of(path))
    return f"{scheme}{mark}{HIDDEN + at if at else ''}{host}{segments}{more[:1] + HIDDEN if more else ''}"


def has_credentials(text: str) -> bool:
    """Whether a URL in a text has a user name, or a query with something that is called or looks like a key."""
    for found in URL.finditer(text):
        authority, _, more = _split(found[0].partition("://")[2])
        if "@" in authority or any(map(_looks_like_a_key, more[1:].split("&"))):
            return True
    return False


def segments_of(path: str) -> Iterator[tuple[str, bool]]:
    """The parts of a path between its slashes, each with whether it looks like a key; the name of a variable does not.

    Args:
        path: of a URL, without query and fragment.
    """
    before = ""
    for one in path.split("/"):
        named = bool(SAYS_KEY.fullmatch(before)) and one != "" and not VERSION.fullmatch(one)
        yield one, not VARIABLE.fullmatch(one) and (named or _looks_like_a_key(unquote(one)))
        before = one


def _looks_like_a_key(segment: str) -> bool:
    if UUID.search(segment) or MARKED.match(segment):
        return True
    parts = PARTS.findall(segment)
    mixed = [part for part in parts if len(part) >= PIECE and _is_mixed(part)]
    return sum(map(len, mixed)) >= MIXED or any(map(_is_long, parts))


def _is_mixed(part: str) -> bool:
    """Whether it has letters and digits that make no word, no region and no model's name."""
    return not part.isdigit() and not part.isalpha() and not WORD_AND_NUMBER.fullmatch(part)


def _is_long(part: str) -> bool:
    """Whether it has letters or digits alone, more than a word, a date or an account's number."""
    return len(part) >= (DIGITS if part.isdigit() else LETTERS) and (part.isdigit() or part.isalpha())


def _split(rest: str) -> tuple[str, str, str]:
    """What follows a scheme: user name and host; path; query and fragment. A password may hold what ends a host."""
    authority = AUTHORITY.match(rest)[0]  # type: ignore[index]  # it matches an empty text, too
    _, colon, port = authority.rpartition(":")
    if "@" not in authority and colon and "@" in rest and not PORT.fullmatch(port):
        end = rest.rindex("@")
        authority = rest[: end + 1] + AUTHORITY.match(rest[end + 1 :])[0]  # type: ignore[index]
    after = rest[len(authority) :]
    end = min((place for mark in "?#" if (place := after.find(mark)) >= 0), default=len(after))
    return authority, after[:end], after[end:]
