"""A copy of the package in which a page of docs/ is followed, and its commands."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

PACKAGE = "tau_retail_env"


def copy_package(repository: Path, folder: Path) -> Path:
    """Copy the package into a folder; returns where it lies there."""
    copied = folder / PACKAGE
    shutil.copytree(repository / PACKAGE, copied, ignore=shutil.ignore_patterns("__pycache__"))
    return copied


def replace_once(file: Path, old: str, new: str) -> None:
    """Edit a file as a page says."""
    text = file.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{file.name} has changed: the page names a place that it no longer has"
    file.write_text(text.replace(old, new), encoding="utf-8")


def tau_retail(folder: Path, *arguments: str) -> str:
    """What a command of the package in this folder prints."""
    command = [sys.executable, "-m", PACKAGE, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
