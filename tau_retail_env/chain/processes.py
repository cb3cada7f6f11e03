"""A stage as a process of its own: in which Python, with which words, and ended with the chain."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tau_retail_env.chain.settings import Pythons
from tau_retail_env.config.machine import has_gpu
from tau_retail_env.errors import InvalidValueError, MissingDependencyError
from tau_retail_env.models.interpreters import roll_python
from tau_retail_env.models.shipped import PACKAGE_FOLDER, checkout

NEEDED = {"sft": "trl", "local": "trl", "roll": "ray", "play": "vllm"}
"""By kind of stage, a package that its environment has and others lack."""
ENVIRONMENT = {"sft": "local", "local": "local", "roll": "roll"}
"""By kind of stage that trains, the environment that it runs in."""
PR_SET_PDEATHSIG = 1
"""Linux's number of: signal this process when its parent dies."""
SET_UP = "./run_tau_retail_pipeline.sh --setup-only --config-name"


def python_for(kind: str, pythons: Pythons) -> str:
    """The interpreter of a stage.

    Args:
        kind: what the stage does: sft, local, roll or play.
        pythons: those that are named.

    Raises:
        InvalidValueError: one is named that is not there.
        MissingDependencyError: none is named, and none is found; the message holds the command that makes it.
    """
    if kind == "play":
        return _python_that_plays(pythons)
    environment = ENVIRONMENT[kind]
    found = _named(environment, pythons) or _found(NEEDED[kind], _environment_python(environment))
    if found is None:
        config = "tau_retail_1gpu" if environment == "roll" else "tau_retail_local"
        raise MissingDependencyError(
            f"A stage needs {NEEDED[kind]}, which neither this Python nor .venv{'-roll' * (environment == 'roll')} "
            f"has: {SET_UP} {config}, or pythons.{environment}=PYTHON"
        )
    return found


def run_stage(python: str, words: Sequence[str]) -> int:
    """Run `tau-retail` in another interpreter until it ends; signals that end this process are handed on to it.

    Args:
        python: the interpreter.
        words: the command's.

    Returns:
        Its exit status; 128 and the signal's number where a signal ended it.

    Raises:
        KeyboardInterrupt, SystemExit: a signal came; the stage has ended by then.
    """
    package = str(PACKAGE_FOLDER.parent)
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")]))
    child = subprocess.Popen(
        [python, "-m", "tau_retail_env", *words],
        env=os.environ | {"PYTHONPATH": path},
        start_new_session=True,  # Ctrl-C reaches it once, from here
        preexec_fn=_end_with_parent if sys.platform == "linux" else None,
    )
    try:
        status = child.wait()
    except (KeyboardInterrupt, SystemExit) as ended:
        _end(child, ended)
        raise
    return status if status >= 0 else 128 - status


def _end(child: subprocess.Popen[bytes], ended: KeyboardInterrupt | SystemExit) -> None:
    """Hand a signal on to a stage, and each further one until it has ended: at the first it saves what it has learnt.

    SIGINT as SIGINT and all others as SIGTERM: in the background of a shell a stage ignores SIGINT, as the chain does.
    """
    while True:
        try:
            with suppress(ProcessLookupError):
                child.send_signal(signal.SIGINT if isinstance(ended, KeyboardInterrupt) else signal.SIGTERM)
            child.wait()
            return
        except (KeyboardInterrupt, SystemExit) as again:
            ended = again


def as_typed(python: str, words: Sequence[str]) -> str:
    """A stage's command as a person would type it."""
    return shlex.join([python, "-m", "tau_retail_env", *words])


def _python_that_plays(pythons: Pythons) -> str:
    if named := _named("play", pythons):
        return named
    if has_gpu() and (found := _named("roll", pythons) or _found(NEEDED["play"], _environment_python("roll"))):
        return found
    return python_for("local", pythons)


def _named(environment: str, pythons: Pythons) -> str | None:
    named: str | None = getattr(pythons, environment)
    if named is None:
        return None
    given = Path(named).expanduser()
    found = given / "bin" / "python" if given.is_dir() else given
    if os.sep in named and not found.exists():
        raise InvalidValueError(
            f"pythons.{environment}: there is no {named}; give an interpreter or the folder of an environment"
        )
    return str(found)


def _found(package: str, elsewhere: Path) -> str | None:
    """That of the environment which is to have the package, else this Python where it has it."""
    if elsewhere.exists():
        return str(elsewhere)
    return sys.executable if importlib.util.find_spec(package) is not None else None


def _environment_python(environment: str) -> Path:
    if environment == "roll":
        return roll_python()
    return (checkout() or Path.cwd()) / ".venv" / "bin" / "python"


def _end_with_parent() -> None:
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
