"""Where ROLL is, for the tests that need its source; without it they skip by name."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PATH_VARIABLE = "ROLL_PATH"
NEEDS = "needs ROLL"
REMEDY = (
    f"export {PATH_VARIABLE}=<a checkout of Alibaba's ROLL> in an environment made from requirements-roll.txt "
    "(PyPI's package `roll` is another one)"
)


def _import_roll() -> ModuleType:
    """Import Alibaba's ROLL, quietly and without a GPU; skip where it cannot be had."""
    checkout = os.environ.get(PATH_VARIABLE)
    if checkout and checkout not in sys.path:
        sys.path.insert(0, checkout)
    found = importlib.util.find_spec("roll")
    folders = [Path(folder) for folder in (found.submodule_search_locations or [])] if found else []
    if not any((folder / "pipeline" / "agentic").is_dir() for folder in folders):
        pytest.skip(f"{NEEDS}: {'another package has its name' if found else 'it is not installed'}; {REMEDY}")
    try:
        return importlib.import_module("roll.pipeline.agentic.env_manager.traj_env_manager")
    except ImportError as error:
        pytest.skip(f"{NEEDS}: it cannot be imported ({error}); {REMEDY}")


@pytest.fixture(scope="session")
def roll(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the importable ROLL; without it the test skips by name."""
    changed = pytest.MonkeyPatch()
    changed.setenv("ROLL_LOG_DIR", str(tmp_path_factory.mktemp("roll_logs")))
    changed.setenv("CUDA_VISIBLE_DEVICES", "")
    try:
        module = _import_roll()
        yield Path(str(module.__file__)).parents[4]
    finally:
        changed.undo()


@pytest.fixture(scope="session")
def small_tokenizer(roll: Path) -> Any:
    """The tokenizer of the small model that is shipped."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(Path(__file__).resolve().parents[2] / "checkpoints" / "small")


@pytest.fixture
def rollout_loop(
    roll: Path, small_tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Any]]:
    """Makes a `RolloutLoop`, with the small model's tokenizer unless another is given; closed at the end."""
    from tests.roll.rollout_loop import RolloutLoop, without_ray

    without_ray(monkeypatch)
    made = []

    def make(tokenizer: Any = small_tokenizer, **settings: Any) -> RolloutLoop:
        made.append(RolloutLoop(tokenizer, tmp_path / "run", **settings))
        return made[-1]

    yield make
    for one in made:
        one.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end how many tests did not run for want of ROLL, and how to enable them."""
    skipped = [report for report in terminalreporter.stats.get("skipped", ()) if f"{NEEDS}:" in str(report.longrepr)]
    if skipped:
        terminalreporter.write_line(f"{len(skipped)} tests of ROLL were skipped. To enable them: {REMEDY}")
