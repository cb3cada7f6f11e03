"""τ-bench v1: where its package `tau_bench` is, importing it without side effects, and its tasks."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from tau_retail_env.errors import MissingDependencyError
from tau_retail_env.tasks.task import Action, Task

COMMIT = "59a200c6d575d595120f1cb70fea53cef0632f6b"
"""The commit of sierra-research/tau-bench that the submodule pins and the recorded figures were made with."""
PATH_VARIABLE = "TAU_BENCH_PATH"
SUBMODULE = Path(__file__).resolve().parents[3] / "tau-bench"
SPLITS = {"train": "TASKS_TRAIN", "test": "TASKS_TEST", "dev": "TASKS_DEV"}
"""Upstream's splits: the name of the list in its module tasks_<split>."""
REMEDIES = (
    f"Any of these brings it: git submodule update --init tau-bench, "
    f"export {PATH_VARIABLE}=<a checkout of sierra-research/tau-bench>, "
    f"pip install git+https://github.com/sierra-research/tau-bench@{COMMIT}. "
    "Source 'tau2' needs none of them (task_source=tau2)"
)
EXTRA_COMMAND = "pip install '.[tau-bench]'"


def package_folder() -> Path:
    """The folder that holds the package `tau_bench`: `TAU_BENCH_PATH`, else the submodule, else where it is installed.

    Raises:
        MissingDependencyError: it is in none of these places, or `TAU_BENCH_PATH` names a folder without it.
    """
    if given := os.environ.get(PATH_VARIABLE):
        if not _holds_package(Path(given)):
            raise MissingDependencyError(
                f"{PATH_VARIABLE} is {given!r}, but there is no {Path(given) / 'tau_bench' / 'envs' / 'retail'}: "
                "set it to a checkout of sierra-research/tau-bench, or unset it"
            )
        return Path(given).resolve()
    if _holds_package(SUBMODULE):
        return SUBMODULE
    spec = importlib.util.find_spec("tau_bench")
    for location in (spec.submodule_search_locations or []) if spec else []:
        if _holds_package(Path(location).parent):
            return Path(location).parent
    raise MissingDependencyError(f"Source 'tau_bench' needs τ-bench v1, which is not here. {REMEDIES}")


def import_upstream(module: str) -> ModuleType:
    """Import one of upstream's modules: without the network, and leaving the import path as it was.

    Args:
        module: the name below `tau_bench`, such as "envs.retail.tools".

    Raises:
        MissingDependencyError: `tau_bench`, or a package that it imports, is not there.
    """
    folder = package_folder()
    # litellm otherwise downloads its prices when it is imported.
    with _importable(folder), _variable("LITELLM_LOCAL_MODEL_COST_MAP", "True"):
        try:
            return importlib.import_module(f"tau_bench.{module}")
        except ModuleNotFoundError as error:
            if (error.name or "").split(".")[0] == "tau_bench":
                raise MissingDependencyError(f"{folder} holds no whole tau_bench: {error}. {REMEDIES}") from None
            raise MissingDependencyError(
                f"tau_bench in {folder} imports {error.name!r}, which is not installed. "
                f"The extra 'tau-bench' brings it: {EXTRA_COMMAND}"
            ) from None


def splits() -> list[str]:
    """The names of upstream's splits."""
    return list(SPLITS)


def load(split: str) -> list[Task]:
    """Load one split in upstream's order.

    Args:
        split: "train" (500 tasks), "test" (115) or "dev" (20).

    Raises:
        MissingDependencyError: `tau_bench`, or a package that it imports, is not there.
    """
    rows = getattr(import_upstream(f"envs.retail.tasks_{split}"), SPLITS[split])
    return [_task(row, split, index) for index, row in enumerate(rows)]


def _task(row: Any, split: str, index: int) -> Task:
    return Task(
        id=f"tau_bench/{split}/{index}",
        source="tau_bench",
        domain="retail",
        split=split,
        instruction=row.instruction,
        actions=tuple(Action(action.name, action.kwargs) for action in row.actions),
        outputs=tuple(row.outputs),
        user_id=row.user_id,
    )


def _holds_package(folder: Path) -> bool:
    return (folder / "tau_bench" / "envs" / "retail" / "tools" / "__init__.py").is_file()


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """`tau_bench` importable from a folder; what is imported once stays, the path does not."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


@contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    """An environment variable set for a while, unless the user has set it."""
    if name in os.environ:
        yield
        return
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]
