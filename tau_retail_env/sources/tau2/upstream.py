"""Importing τ²'s retail domain, of the installed package or of a checkout beside it, without side effects."""

from __future__ import annotations

import functools
import importlib
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from tau_retail_env.errors import MissingDependencyError
from tau_retail_env.sources.tau2.editions import Edition

_IMPORTING = threading.RLock()


@dataclass(frozen=True, slots=True)
class Upstream:
    """The classes of one edition that this package uses."""

    RetailDB: Any
    RetailTools: Any
    Environment: Any
    UserScenario: Any
    StructuredUserInstructions: Any


@functools.cache
def import_upstream(edition: Edition) -> Upstream:
    """Import an edition's retail domain: no log lines, no `.env` file read, no `tau2` of another edition touched.

    Args:
        edition: the installed package, which is imported as `tau2`; or another one, whose modules stay out of
            `sys.modules`, so that any number of editions live side by side.

    Raises:
        MissingDependencyError: a package that upstream's code imports is not installed.
        InvalidValueError: the edition's code is broken.
    """
    with _IMPORTING, _without_dotenv(), _deepdiff_when_it_is_used():
        try:
            import loguru

            loguru.logger.disable("tau2")
            if edition.is_installed:
                return _import()
            with _standing_for_tau2(edition.package):
                return _import()
        except ImportError as error:
            raise MissingDependencyError(
                f"τ²'s retail domain in {edition.package} cannot be imported: {error}. Its small dependencies come "
                "with this package: pip install -r requirements.txt (or pip install . in the repository)"
            ) from error
        except Exception as error:  # whatever the code of a checkout raises
            problem = f"cannot be imported ({type(error).__name__}: {error})"
            raise edition.broken(edition.package / "domains" / "retail" / "tools.py", problem) from error
        finally:
            warnings.filterwarnings("ignore", message="Pydantic serializer warnings", category=UserWarning)


def _import() -> Upstream:
    tasks = importlib.import_module("tau2.data_model.tasks")
    return Upstream(
        RetailDB=importlib.import_module("tau2.domains.retail.data_model").RetailDB,
        RetailTools=_with_known_names(importlib.import_module("tau2.domains.retail.tools").RetailTools),
        Environment=importlib.import_module("tau2.environment.environment").Environment,
        UserScenario=tasks.UserScenario,
        StructuredUserInstructions=tasks.StructuredUserInstructions,
    )


def _with_known_names(toolkit: Any) -> Any:
    """Upstream's tools, which know their names: upstream gathers them anew, twice, at every call of one."""
    known: Any = type(toolkit.__name__, (toolkit,), {})
    known._func_tools = toolkit(None)._func_tools
    return known


@contextmanager
def _standing_for_tau2(package: Path) -> Iterator[None]:
    """`tau2` means another folder for a while; its own __init__, which imports every model client, is left out."""
    held = {name: module for name, module in sys.modules.items() if _is_tau2(name)}
    for name in held:
        del sys.modules[name]
    root = ModuleType("tau2")
    root.__path__ = [str(package)]
    sys.modules["tau2"] = root
    try:
        yield
    finally:
        for name in [name for name in sys.modules if _is_tau2(name)]:
            del sys.modules[name]
        sys.modules.update(held)


def _is_tau2(name: str) -> bool:
    return name.split(".", 1)[0] == "tau2"


@contextmanager
def _deepdiff_when_it_is_used() -> Iterator[None]:
    """Import deepdiff, which brings pandas and takes as long as the shop itself, when upstream shows a difference."""
    if "deepdiff" in sys.modules:
        yield
        return
    standing: Any = ModuleType("deepdiff")
    standing.DeepDiff = lambda *given, **named: importlib.import_module("deepdiff").DeepDiff(*given, **named)
    sys.modules["deepdiff"] = standing
    try:
        yield
    finally:
        del sys.modules["deepdiff"]


@contextmanager
def _without_dotenv() -> Iterator[None]:
    """Keep upstream from loading a `.env` file into this process while it is imported."""
    name = "PYTHON_DOTENV_DISABLED"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
