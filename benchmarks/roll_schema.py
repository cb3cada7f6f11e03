"""Names, types and defaults of ROLL's configuration, as data: PYTHONPATH=<ROLL> python benchmarks/roll_schema.py …"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import json
import re
import subprocess
import types
import typing
from pathlib import Path
from typing import Any

SCALARS = {int: "int", float: "float", bool: "bool", str: "str", type(None): "null", Any: "any"}
LEFT_OUT = ("exp_name",)
"""Fields whose default depends on how the script was called."""
WRAP_KEY = re.compile(r"""\bconfig\.get\(["'](\w+)""")
FSDP2_KEY = re.compile(r"""strategy_config(?:\.get\(|\[)["'](\w+)""")


def main() -> None:
    """Write the snapshot of the ROLL that can be imported."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="where the snapshot goes")
    parser.add_argument("--version", required=True, help="ROLL's version or tag, as the snapshot shall call it")
    parser.add_argument("--commit", help="of the checkout (default: asked of git)")
    options = parser.parse_args()
    found = snapshot(options.version, options.commit)
    options.out.write_text(as_text(found), encoding="utf-8")
    print(f"{options.out}: {len(found['classes'])} classes of ROLL {found['version']} at {found['commit'][:8]}")


def snapshot(version: str, commit: str | None = None) -> dict[str, Any]:
    """Describe AgenticConfig and every class that it holds.

    Args:
        version: ROLL's version or tag.
        commit: the checkout's; None asks git.

    Returns:
        `classes` (fields by class: type and, where it is a plain value, default), `fsdp2_keys`, version and commit.
    """
    import roll
    from roll.pipeline.agentic.agentic_config import AgenticConfig

    folder = Path(roll.__path__[0])
    classes: dict[str, dict[str, Any]] = {}
    _describe(AgenticConfig, classes)
    return {
        "version": version,
        "commit": commit or _git_commit(folder),
        "fsdp2_keys": _fsdp2_keys(folder),
        "classes": classes,
    }


def as_text(found: dict[str, Any]) -> str:
    """The snapshot as JSON with one field on a line."""
    lines = ["{"]
    lines += [f"{json.dumps(name)}: {json.dumps(found[name])}," for name in ("version", "commit", "fsdp2_keys")]
    lines.append('"classes": {')
    blocks = []
    for name, fields in sorted(found["classes"].items()):
        inner = ",\n".join(f"  {json.dumps(field)}: {json.dumps(about)}" for field, about in sorted(fields.items()))
        blocks.append(f"{json.dumps(name)}: {{\n{inner}\n}}")
    return "\n".join(lines) + "\n" + ",\n".join(blocks) + "\n}}\n"


def _git_commit(folder: Path) -> str:
    command = ["git", "-C", str(folder), "rev-parse", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _fsdp2_keys(folder: Path) -> list[str]:
    """Keys that the FSDP2 strategy reads from strategy_config; it ignores all others."""
    sources = [folder / "distributed" / "strategy" / "fsdp2_strategy.py"]
    sources += sorted((folder / "third_party" / "fsdp2").glob("*.py"))
    keys = {key for path in sources for key in FSDP2_KEY.findall(path.read_text(encoding="utf-8"))}
    wrapping = (folder / "utils" / "fsdp_utils.py").read_text(encoding="utf-8")
    return sorted(keys | set(WRAP_KEY.findall(wrapping)))


def _describe(block: type[Any], classes: dict[str, dict[str, Any]]) -> None:
    if block.__name__ in classes:
        return
    fields = classes[block.__name__] = {}
    hints = typing.get_type_hints(block)
    for field in dataclasses.fields(block):
        fields[field.name] = {"type": _type(hints[field.name], classes), **_default(field)}


def _default(field: dataclasses.Field[Any]) -> dict[str, Any]:
    value = field.default
    if field.default_factory is not dataclasses.MISSING and not inspect.isclass(field.default_factory):
        value = field.default_factory()
    if field.default_factory in (dict, list):
        value = field.default_factory()
    plain = isinstance(value, (int, float, str, bool, list, dict, type(None)))
    return {"default": value} if plain and field.name not in LEFT_OUT else {}


def _type(hint: Any, classes: dict[str, dict[str, Any]]) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint in SCALARS:
        return SCALARS[hint]
    if dataclasses.is_dataclass(hint):
        _describe(hint, classes)
        return {"class": hint.__name__}
    if origin is typing.Literal:
        return {"one_of": list(arguments)}
    if origin in (typing.Union, types.UnionType):
        return {"any_of": [_type(argument, classes) for argument in arguments]}
    if origin is list or hint is list:
        return {"list": _type(arguments[0], classes) if arguments else "any"}
    if origin is dict or hint in (dict, typing.Dict):  # noqa: UP006 -- the bare name is what ROLL writes
        return {"mapping": _type(arguments[1], classes) if arguments else "any"}
    raise TypeError(f"no word for the type {hint}")


if __name__ == "__main__":
    main()
