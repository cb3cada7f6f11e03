"""Refuse keys that ROLL leaves unread, overwrites or cannot honour in such a run; unread.toml lists them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tau_retail_env.roll.config.rules import ROLES, RollValues

TABLE = Path(__file__).resolve().with_name("unread.toml")


@dataclass(frozen=True, slots=True)
class Unread:
    """One key that would change nothing."""

    path: str
    """Its full path."""
    instead: str
    """What to do."""
    strategy: str = ""
    """Only with strategies whose name begins so."""


def unread_keys() -> Iterator[Unread]:
    """Every key of the table, those of all strategies first."""
    for entry in _table()["unread"]:
        for path in (f"{block}{key}" for block in _below(entry) for key in entry["keys"]):
            for strategy in entry.get("strategies", [""]):
                yield Unread(path, entry["instead"], strategy)


def check_unread(config: RollValues) -> Iterator[str]:
    """Refuse keys that are given, say something else than ROLL's default, and would change nothing."""
    for key in unread_keys():
        if not _says_something(config, key.path):
            continue
        strategy = config.strategy(key.path.split(".")[0]) or "" if key.strategy else ""
        if strategy.startswith(key.strategy):
            where = f" with {strategy}" if key.strategy else ""
            yield f"{_found(config, key.path)} cannot be honoured{where}. {key.instead}"
    if config.strategy("actor_infer") == "vllm":
        overwritten = _table()["vllm"]
        for name, value in config.strategy_config("actor_infer").items():
            if name in overwritten and value != overwritten[name].get("only"):
                path = f"actor_infer.strategy_args.strategy_config.{name}"
                yield f"{path}: {value} cannot be honoured, ROLL overwrites it: {overwritten[name]['instead']}"


def _table() -> dict[str, Any]:
    return tomllib.loads(TABLE.read_text(encoding="utf-8"))


def _below(entry: Mapping[str, Any]) -> list[str]:
    return [f"{block}." for block in entry["blocks"]] if "blocks" in entry else [""]


def _says_something(config: RollValues, path: str) -> bool:
    """Whether a key is given for a role that is started, with another value than ROLL's default."""
    block = path.split(".")[0]
    if not config.given(path) or (block in ROLES and block not in config.roles):
        return False
    return _differs(config(path), config.schema.default(path))


def _differs(value: Any, default: Any) -> bool:
    if isinstance(value, Mapping) and isinstance(default, Mapping):
        return any(_differs(inner, default.get(name)) for name, inner in value.items())
    return bool(value != default)


def _found(config: RollValues, path: str) -> str:
    value = config(path)
    return f"{path}:" if isinstance(value, Mapping) else f"{path}: {value}"
