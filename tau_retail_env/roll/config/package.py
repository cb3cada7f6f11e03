"""Which package named `roll` is installed, from its files: Alibaba's or not, whole, which commit; imports nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = "git+https://github.com/alibaba/ROLL.git"
AGENTIC = Path("pipeline", "agentic")


@dataclass(frozen=True, slots=True)
class RollPackage:
    """A package named `roll`."""

    folder: Path
    """Where it is."""
    is_alibabas: bool
    """Whether it is Alibaba's ROLL: PyPI has an unrelated package of that name."""
    missing: tuple[str, ...] = ()
    """Modules that its environment workers import and that are not there: ROLL's own wheel leaves some out."""
    commit: str | None = None
    """The commit that it was installed from or is checked out at; None where nothing says so."""


def look_at(folders: Iterable[Path]) -> RollPackage | None:
    """Tell which package it is that would be imported as `roll`.

    Args:
        folders: where Python would look for its modules; a namespace has several.

    Returns:
        Alibaba's if one of the folders is, else the first; None without a folder.
    """
    found = list(folders)
    for folder in found:
        if (folder / AGENTIC / "agentic_config.py").is_file():
            return RollPackage(folder, True, missing_modules(folder), _commit(folder))
    return RollPackage(found[0], False) if found else None


def missing_modules(folder: Path) -> tuple[str, ...]:
    """Modules of ROLL that its environment workers import and that are not there.

    Args:
        folder: ROLL's package.
    """
    worker = folder / AGENTIC / "environment_worker.py"
    text = worker.read_text(encoding="utf-8", errors="replace") if worker.is_file() else ""
    imported = dict.fromkeys(re.findall(r"^ *from (roll\.[\w.]+) import", text, re.MULTILINE))
    return tuple(module for module in imported if not _is_there(folder, module))


def install_arguments(commit: str) -> str:
    """What pip must install for a whole ROLL.

    Args:
        commit: of ROLL's repository.
    """
    return f"install --no-deps --ignore-requires-python -e '{REPOSITORY}@{commit}#egg=roll'"


def _is_there(folder: Path, module: str) -> bool:
    path = folder.joinpath(*module.split(".")[1:])
    return path.is_dir() or path.with_suffix(".py").is_file()


def _commit(folder: Path) -> str | None:
    """The commit that pip has noted beside the package, or that the checkout around it is at."""
    for note in folder.parent.glob("roll-*.dist-info/direct_url.json"):
        if commit := json.loads(note.read_text(encoding="utf-8")).get("vcs_info", {}).get("commit_id"):
            return str(commit)
    head = folder.parent / ".git" / "HEAD"
    text = head.read_text(encoding="utf-8").strip() if head.is_file() else ""
    return text if re.fullmatch(r"[0-9a-f]{40}", text) else None
