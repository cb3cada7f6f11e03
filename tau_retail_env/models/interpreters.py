"""The Python interpreters of this machine's environments, and what is installed for them; imports nothing of it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tau_retail_env.models.shipped import checkout

PROBE_LIMIT_S = 10.0
"""After this a question to another program counts as not answered."""
PROBE = r"""
import importlib.metadata, importlib.util, json, os, re, sys
packages = {}
for found in importlib.metadata.distributions():
    name = found.metadata and found.metadata["Name"]
    if name:
        packages.setdefault(re.sub("[-_.]+", "-", name).lower(), found.version or "unknown")
torch = importlib.util.find_spec("torch")
about = os.path.join(os.path.dirname((torch and torch.origin) or ""), "version.py")
text = open(about, encoding="utf-8").read() if torch and os.path.isfile(about) else ""
cuda = re.search(r"^cuda\b[^=\n]*= *'([^']+)'", text, re.MULTILINE)
version = ".".join(map(str, sys.version_info[:3]))
roll = importlib.util.find_spec("roll")
rolls = list((roll and roll.submodule_search_locations) or ())
print(json.dumps({"version": version, "packages": packages, "torch_cuda": cuda and cuda[1], "roll_folders": rolls}))
"""
"""What an interpreter is asked: names and versions, from metadata alone, and where a package `roll` lies."""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """One Python and what is installed for it."""

    python: str
    """Its program, as a person would type it."""
    version: str
    """Such as "3.11.7"."""
    packages: Mapping[str, str]
    """Versions by name, in lower case with hyphens."""
    torch_cuda: str | None = None
    """The CUDA that its torch was built for, None for a torch without CUDA or no torch."""
    roll_folders: Sequence[str] = ()
    """Where it would look for the modules of a package `roll`; none without one."""

    def command(self, module: str) -> str:
        """The command that runs one of its modules, such as "pip install rich"."""
        return f"{shlex.quote(self.python)} -m {module}"


def ask(python: Path) -> Interpreter | str:
    """Ask an interpreter what is installed for it; a text says why it does not answer.

    Args:
        python: its program.
    """
    try:
        answer = subprocess.run(
            [python, "-c", PROBE],
            capture_output=True,
            text=True,
            check=True,
            timeout=PROBE_LIMIT_S,
            env=os.environ | {"PYTHONSAFEPATH": "1"},
        ).stdout
        return Interpreter(typed_path(python), **json.loads(answer))
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return f"{typed_path(python)} does not answer: {type(error).__name__}"


def roll_python() -> Path:
    """The interpreter of the engine roll's environment, whether or not it is there."""
    return (checkout() or Path.cwd()) / ".venv-roll" / "bin" / "python"


def typed_path(path: Path) -> str:
    """A path as a person would type it: from the working folder where it lies below that."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
