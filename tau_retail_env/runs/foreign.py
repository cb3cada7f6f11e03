"""Result files of other tools, told by their members, so that an error says at once which file was named."""

from __future__ import annotations

import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path

TOOLS: Mapping[frozenset[str], str] = {
    frozenset({"version", "status", "eval"}): "a log of inspect_ai",
    frozenset({"header.json", "_journal/start.json"}): "a log of inspect_ai (.eval)",
    frozenset({"env", "task", "traces"}): "a run of verifiers (traces.jsonl)",
}
"""By members that all of its files have, what a tool writes: inspect_ai 0.3, verifiers 0.4."""


def looks_like(members: Collection[str]) -> str:
    """What ends an error about an object that is none of ours: which tool writes such; nothing where that is not known.

    Args:
        members: the names in it.
    """
    tool = next((tool for needed, tool in TOOLS.items() if needed <= set(members)), None)
    return f"; it looks like {tool}, which this package does not read" if tool else ""


def archive_looks_like(path: Path) -> str:
    """The same of a file that may be a zip archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            return looks_like(archive.namelist()) or "; it is a zip archive"
    except (OSError, zipfile.BadZipFile):
        return ""
