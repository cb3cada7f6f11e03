"""The places in ROLL that docs/roll.md names are there, at the pinned commit."""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path

import pytest

PLACE = re.compile(r"`([a-z_]+(?:\.[a-z0-9_]+)+):([\w.]+)`")


@pytest.fixture
def checkout():
    """ROLL's source; it is read, not imported."""
    folder = Path(os.environ.get("ROLL_PATH", "")) / "roll"
    if not (folder / "pipeline" / "agentic").is_dir():
        pytest.skip("needs ROLL: export ROLL_PATH=<a checkout of Alibaba's ROLL>")
    return folder


def names(module: Path) -> set[str]:
    """Functions, classes and methods of a module."""
    found = set()
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            functions = (one for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef))
            found.update(f"{node.name}.{one.name}" for one in functions)
    return found


def test_every_place_in_roll_that_the_page_names_is_there(repository, checkout):
    places = PLACE.findall((repository / "docs" / "roll.md").read_text(encoding="utf-8"))
    assert len(places) > 25
    for module, name in places:
        path = checkout.joinpath(*module.split(".")).with_suffix(".py")
        assert path.is_file(), module
        assert name in names(path), f"{module}: {name}"
