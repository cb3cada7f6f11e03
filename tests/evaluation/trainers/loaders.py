"""Other trainers' own loaders, run by an interpreter that has their packages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY

PYTHON = os.environ.get("TRAINERS_PYTHON", sys.executable)
"""An interpreter with verl 0.9 and llamafactory, and with ray, which slime imports."""
SHIPPED = REPOSITORY / "checkpoints" / "small"


def loaded(module: str, script: str, *arguments: Any, path: str = "") -> Any:
    """What a script that uses a trainer prints as its last line, as JSON; skips where the trainer is not there.

    Args:
        module: the trainer's module that the script imports.
        script: Python text.
        arguments: the script's.
        path: a checkout that the module is in.
    """
    environment = {**os.environ, "PYTHONPATH": path, "HF_DATASETS_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}

    def run(*words: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PYTHON, *map(str, words)], env=environment, capture_output=True, text=True, timeout=600, check=False
        )

    if (probe := run("-c", f"import {module}")).returncode:
        pytest.skip(f"needs TRAINERS_PYTHON with {module}: {probe.stderr.strip().splitlines()[-1]}")
    result = run("-c", script, *arguments)
    assert result.returncode == 0, result.stderr[-3000:]
    return json.loads(result.stdout.strip().splitlines()[-1])


def slime_checkout() -> str:
    """The folder that slime's package is in, which no registry has."""
    folder = os.environ.get("SLIME_PATH")
    if not folder or not (Path(folder) / "slime").is_dir():
        pytest.skip("needs SLIME_PATH, a checkout of THUDM/slime")
    return folder
