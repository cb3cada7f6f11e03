"""The keys, types and defaults of ROLL's configuration, from a snapshot of its dataclasses (roll_versions/*.json)."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tau_retail_env.errors import deeper, nearest, unknown

FOLDER = Path(__file__).resolve().parent / "roll_versions"
PINNED = "main"
"""The version of ROLL that configurations are for, unless they want DeepSpeed."""
WITH_DEEPSPEED = "v0.2.1"
TOP = "AgenticConfig"
WORDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a text",
    "null": "null",
}


@dataclass(frozen=True, slots=True)
class RollSchema:
    """The keys of one version of ROLL; made by benchmarks/roll_schema.py."""

    version: str
    """ROLL's tag, or main."""
    commit: str
    """The commit that it was read from."""
    fsdp2_keys: tuple[str, ...]
    """Keys that the FSDP2 strategy reads from strategy_config."""
    classes: Mapping[str, Mapping[str, Mapping[str, Any]]]
    """Type and default of every field, by class."""

    @classmethod
    def load(cls, version: str) -> RollSchema:
        """Read a snapshot.

        Args:
            version: one of `versions()`.

        Raises:
            InvalidValueError: there is no snapshot of that version.
        """
        path = FOLDER / f"{version}.json"
        if not path.is_file():
            raise unknown("version of ROLL", version, versions())
        found = json.loads(path.read_text(encoding="utf-8"))
        return cls(found["version"], found["commit"], tuple(found["fsdp2_keys"]), found["classes"])

    def problems(self, values: Mapping[str, Any], *, own: Collection[str] = ()) -> list[str]:
        """What is wrong with the names and types of a configuration, each by its full path.

        Args:
            values: the configuration as composed.
            own: keys at the top that are not ROLL's.
        """
        found: list[str] = []
        self._block(TOP, {name: value for name, value in values.items() if name not in own}, "", found, own)
        return found

    def names(self, block: str) -> list[str]:
        """Names of the keys that a block may have; none where ROLL knows no such block or leaves it open.

        Args:
            block: path of the block, such as "actor_train.model_args"; empty at the top.
        """
        fields = self.classes[TOP]
        for name in block.split(".") if block else ():
            kind = fields.get(name, {}).get("type")
            fields = self.classes[kind["class"]] if isinstance(kind, Mapping) and "class" in kind else {}
        return list(fields)

    def value(self, values: Mapping[str, Any], path: str) -> Any:
        """A key's value, or ROLL's default where it is left out.

        Args:
            values: the configuration as composed, its names and types checked.
            path: full path of a key that ROLL knows, such as "actor_train.infer_batch_size".
        """
        block, here = TOP, values
        *parents, name = path.split(".")
        for parent in parents:
            block = self.classes[block][parent]["type"]["class"]
            here = here.get(parent) or {}
        return here.get(name, self.classes[block][name].get("default"))

    def default(self, path: str) -> Any:
        """ROLL's default of a key; of a block that ROLL makes itself, the defaults of its keys by name.

        Args:
            path: full path of a key that ROLL knows.
        """
        block, (*parents, name) = TOP, path.split(".")
        for parent in parents:
            block = self.classes[block][parent]["type"]["class"]
        return self._default(block, name)

    def strategies(self) -> list[str]:
        """Names that strategy_name may have."""
        return list(self.classes["StrategyArguments"]["strategy_name"]["type"]["one_of"])

    def _default(self, block: str, name: str) -> Any:
        field = self.classes[block][name]
        kind = field["type"]
        if "default" in field or not isinstance(kind, Mapping) or "class" not in kind:
            return field.get("default")
        return {inner: self._default(kind["class"], inner) for inner in self.classes[kind["class"]]}

    def _block(
        self, block: str, values: Mapping[str, Any], path: str, found: list[str], own: Collection[str] = ()
    ) -> None:
        fields = self.classes[block]
        for name, value in values.items():
            here = f"{path}.{name}" if path else str(name)
            if name in fields and not path and value is None and fields[name].get("default", ...) is None:
                continue  # ROLL's own default, whatever type it writes beside it; `roll_values` leaves the key out
            if name in fields:
                self._check(fields[name]["type"], value, here, found)
            else:
                hint = nearest(str(name), [*fields, *own]) or ("" if path else deeper(str(name), values))
                hint = hint or f" Known here: {', '.join([*fields, *own])}."
                found.append(f"{here}: unknown key, which ROLL would ignore.{hint}")

    def _check(self, kind: Any, value: Any, path: str, found: list[str]) -> None:
        if isinstance(kind, str):
            if kind != "any" and not _is(kind, value):
                found.append(f"{path}: found {value!r}, expected {WORDS[kind]}")
            return
        ((shape, inner),) = kind.items()
        if shape == "one_of":
            if value not in inner:
                found.append(f"{path}: found {value!r}, expected {' or '.join(_yaml(one) for one in inner)}")
        elif shape == "any_of":
            self._any_of(inner, value, path, found)
        elif shape == "class" or shape == "mapping":
            if not isinstance(value, Mapping):
                found.append(f"{path}: found {value!r}, expected a block of keys")
            elif shape == "class":
                self._block(inner, value, path, found)
            else:
                for name, item in value.items():
                    self._check(inner, item, f"{path}.{name}", found)
        elif isinstance(value, str) or not isinstance(value, Sequence):
            found.append(f"{path}: found {value!r}, expected a list")
        else:
            for place, item in enumerate(value):
                self._check(inner, item, f"{path}[{place}]", found)

    def _any_of(self, kinds: Sequence[Any], value: Any, path: str, found: list[str]) -> None:
        attempts = list(self._attempts(kinds, value, path))
        if all(attempts):
            found += sorted(attempts, key=_depth)[0]

    def _attempts(self, kinds: Sequence[Any], value: Any, path: str) -> Iterator[list[str]]:
        others = [kind for kind in kinds if kind != "null"]
        if value is None and "null" in kinds:
            yield []
        for kind in others:
            attempt: list[str] = []
            self._check(kind, value, path, attempt)
            yield attempt


def versions() -> list[str]:
    """Versions of ROLL with a snapshot."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def _is(kind: str, value: Any) -> bool:
    if kind == "null":
        return value is None
    if kind == "bool":
        return isinstance(value, bool)
    allowed: tuple[type, ...] = {"int": (int,), "float": (int, float), "str": (str,)}[kind]
    return isinstance(value, allowed) and not isinstance(value, bool)


def _depth(attempt: list[str]) -> tuple[bool, int]:
    """Puts the reading of a value first that got furthest: complaints about keys, not about the block."""
    return "expected a block" in attempt[0], len(attempt)


def _yaml(value: Any) -> str:
    return "null" if value is None else str(value)
