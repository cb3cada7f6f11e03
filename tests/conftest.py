"""Shared by all tests: where the repository is, and the data beside it."""

from __future__ import annotations

import gc
import signal
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, settings

from tau_retail_env.errors import MissingDependencyError
from tau_retail_env.sources.tau_bench import tasks as upstream_tau_bench

REPOSITORY = Path(__file__).resolve().parent.parent
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")  # a slow machine makes no test fail: each has pytest's time limit
WITHOUT_V1 = "needs τ-bench v1"


@pytest.fixture(scope="session", autouse=True)
def _heeds_signals() -> None:
    """A shell's background ignores Ctrl-C, and `nohup` SIGHUP; so would every process that a test starts."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.fixture(scope="module", autouse=True)
def _collects_what_is_new() -> None:
    """Collecting garbage looks through what a file's tests make, not through all modules and tasks loaded before."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def repository() -> Path:
    """The repository's folder."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_folder() -> Path:
    """The folder `shared` beside the repository: recorded upstream episodes and real tokenizers."""
    folder = REPOSITORY.parent / "shared"
    if not folder.is_dir():
        pytest.skip("needs the folder shared beside the repository")
    return folder


@pytest.fixture(scope="session")
def tau_bench() -> Path:
    """The folder of τ-bench v1, whose package can be imported; without it the test skips."""
    try:
        upstream_tau_bench.import_upstream("envs.retail.tools")
    except MissingDependencyError as error:
        pytest.skip(f"{WITHOUT_V1}: {error}")
    return upstream_tau_bench.package_folder()


@pytest.fixture
def litellm(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """litellm, which upstream calls models by, kept from the network; without it, or with a stand-in, it skips."""
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    found = pytest.importorskip("litellm", reason="upstream's agents, customers and orchestrator import litellm")
    if not hasattr(found, "ModelResponse"):
        pytest.skip(f"upstream calls models by litellm, and {found.__file__} is a stand-in without its classes")
    return found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end how many tests did not run for want of τ-bench v1, and how to enable them."""
    skipped = [report for report in terminalreporter.stats.get("skipped", ()) if WITHOUT_V1 in str(report.longrepr)]
    if skipped:
        terminalreporter.write_line(
            f"{len(skipped)} tests of τ-bench v1 were skipped. To enable them: git submodule update --init tau-bench "
            f"(or export {upstream_tau_bench.PATH_VARIABLE}=<a checkout>) and {upstream_tau_bench.EXTRA_COMMAND}"
        )
