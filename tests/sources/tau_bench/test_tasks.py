"""τ-bench v1: found in three places, imported without side effects, its tasks as upstream has them."""

import os
import sys
from pathlib import Path

import pytest

from tau_retail_env import TauRetailEnv, load_tasks
from tau_retail_env.errors import InvalidValueError, MissingDependencyError
from tau_retail_env.sources.registry import forget_sources
from tau_retail_env.sources.tau_bench import tasks as upstream_tau_bench


def imported():
    return [name for name in sys.modules if name.split(".")[0] == "tau_bench"]


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """A machine without τ-bench v1."""
    monkeypatch.delenv(upstream_tau_bench.PATH_VARIABLE, raising=False)
    monkeypatch.setattr(upstream_tau_bench, "SUBMODULE", tmp_path / "tau-bench")
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parents[2])])
    for name in imported():
        monkeypatch.delitem(sys.modules, name)
    forget_sources()
    yield tmp_path
    for name in imported():
        del sys.modules[name]
    forget_sources()


def checkout(folder, imports=""):
    """A folder that looks like upstream's, its package empty but for what it imports."""
    tools = folder / "tau_bench" / "envs" / "retail" / "tools"
    tools.mkdir(parents=True)
    (folder / "tau_bench" / "__init__.py").write_text(imports)
    for package in (tools.parents[1], tools.parent, tools):
        (package / "__init__.py").write_text("")
    return folder


def test_without_v1_the_error_names_every_remedy(nowhere):
    with pytest.raises(MissingDependencyError) as caught:
        TauRetailEnv(source="tau_bench", split="train")
    for remedy in ("git submodule update --init", "TAU_BENCH_PATH", "pip install git+https", "'tau2'"):
        assert remedy in str(caught.value)


def test_an_empty_submodule_counts_as_none(nowhere):
    (nowhere / "tau-bench").mkdir()
    with pytest.raises(MissingDependencyError, match="git submodule update --init"):
        upstream_tau_bench.package_folder()


def test_the_submodule_is_found_and_the_path_variable_goes_before_it(nowhere, monkeypatch):
    submodule = checkout(nowhere / "tau-bench")
    assert upstream_tau_bench.package_folder() == submodule
    elsewhere = checkout(nowhere / "elsewhere")
    monkeypatch.setenv(upstream_tau_bench.PATH_VARIABLE, str(elsewhere))
    assert upstream_tau_bench.package_folder() == elsewhere


def test_an_installed_package_is_found(nowhere, monkeypatch):
    site = checkout(nowhere / "site")
    monkeypatch.setattr(sys, "path", [str(site)])
    assert upstream_tau_bench.package_folder() == site


def test_a_path_variable_that_leads_nowhere_is_an_error_of_its_own(nowhere, monkeypatch):
    checkout(nowhere / "tau-bench")
    monkeypatch.setenv(upstream_tau_bench.PATH_VARIABLE, str(nowhere / "typo"))
    with pytest.raises(MissingDependencyError, match=r"TAU_BENCH_PATH is .*typo.*or unset it"):
        upstream_tau_bench.package_folder()


def test_a_package_that_v1_imports_is_named_with_the_extra_that_brings_it(nowhere, monkeypatch):
    folder = checkout(nowhere / "v1", imports="import a_package_that_is_not_there")
    monkeypatch.setenv(upstream_tau_bench.PATH_VARIABLE, str(folder))
    before = dict(os.environ), list(sys.path)
    with pytest.raises(MissingDependencyError, match=r"'a_package_that_is_not_there'.*pip install .*\[tau-bench\]"):
        upstream_tau_bench.import_upstream("envs.retail.tools")
    assert (dict(os.environ), sys.path) == before


def test_half_a_checkout_is_named(nowhere, monkeypatch):
    monkeypatch.setenv(upstream_tau_bench.PATH_VARIABLE, str(checkout(nowhere / "v1")))
    with pytest.raises(MissingDependencyError, match="holds no whole tau_bench"):
        upstream_tau_bench.load("test")


def test_the_splits_are_upstreams(tau_bench):
    tasks = {split: load_tasks("tau_bench", split) for split in upstream_tau_bench.splits()}
    assert {split: len(found) for split, found in tasks.items()} == {"train": 500, "test": 115, "dev": 20}
    assert sum(bool(task.outputs) for task in tasks["test"]) == 37
    assert not any(task.outputs for task in tasks["train"])
    first = tasks["train"][0]
    assert (first.id, first.user_id) == ("tau_bench/train/0", "omar_anderson_3203")
    assert first.instruction.startswith("Your name is Omar Anderson")
    assert first.actions[0].arguments["order_id"] == "#W6067464"
    with pytest.raises(InvalidValueError, match="known: dev, test, train"):
        load_tasks("tau_bench", "base")
