"""The tasks of a run: loaded once, by its own process, and taken by environment workers."""

from __future__ import annotations

import gc
import multiprocessing
import os
import resource
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tau_retail_env.config import compose
from tau_retail_env.roll import run_tasks
from tau_retail_env.roll.config.check import RollConfig, check_roll
from tau_retail_env.sources import load, load_tasks
from tests.fresh_tasks import forget_tasks


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has loaded nothing and been brought nothing."""
    forget_tasks(monkeypatch)


@pytest.fixture
def storage(roll: Path) -> Iterator[Any]:
    """ROLL's, in a Ray of its own."""
    ray = pytest.importorskip("ray")
    from tau_retail_env.roll.ranks import begin_storage

    ray.init(num_cpus=1, include_dashboard=False, namespace="roll", log_to_driver=False)
    try:
        yield begin_storage()
    finally:
        ray.shutdown()


def config(*overrides: str) -> RollConfig:
    return check_roll(compose("tau_retail_1gpu", overrides=["task_source=tau2", *overrides]))


def test_an_environment_of_a_worker_finds_the_tasks_of_its_tag_loaded(storage, fresh, monkeypatch):
    """Those of the configuration, its exclusions among them; Ray holds them, and the run no more."""
    from tau_retail_env.roll.preload import load_for

    tag, left_out = "retail_test", load_tasks("tau2", "test")[0].id
    made = config(f"custom_envs.{tag}.env_config.exclude_tasks=[{left_out}]")
    loaded = {name: run_tasks.load(made, name) for name in ("retail_train", tag)}
    assert {name: one.number for name, one in loaded.items()} == {"retail_train": 74, tag: 39}
    run_tasks.take(loaded)
    assert load._brought() == {}  # not handed out yet
    run_tasks.hand_out(storage, loaded)
    assert loaded == {}
    source = load.get_source("tau2", None, "retail")
    expected = tuple(task for task in load_tasks("tau2", "test") if task.id != left_out)
    forget_tasks(monkeypatch)
    asked: list[str] = []
    monkeypatch.setattr(type(source), "load", lambda self, split: asked.append(split) or [])
    settings = made.custom_envs[tag].env_config.model_dump()
    names = ("source", "split", "task_subset", "task_version", "prompt_style")
    settings = {name: settings[name] for name in names} | {"exclude_tasks": [left_out]}
    manager = "tau_retail_env.roll.env_manager.TauRetailEnvManager"
    load_for([{"tag": tag, "config": settings, "env_manager_cls": manager}])
    found = load.shared_tasks("tau2", "test", "all", exclude_tasks=[left_out])
    assert found == expected and asked == []
    assert load.shared_tasks("tau2", "test", "all", exclude_tasks=[left_out]) is found


def test_where_none_were_handed_out_a_worker_loads_its_own(fresh):
    ray = pytest.importorskip("ray")
    from tau_retail_env.roll.preload import load_for

    manager = "tau_retail_env.roll.registration.Any"
    settings = {"source": "tau2", "split": "test", "prompt_style": "minimal"}
    load_for([{"tag": "retail_test", "config": settings, "env_manager_cls": manager}])
    assert load._selected_tasks.cache_info().currsize == 1
    assert not ray.is_initialized()


def test_what_a_forked_process_has_loaded_is_read_here_and_leaves_no_file():
    made = config()
    with run_tasks.memory_files(["retail_train", "retail_test"]) as files:
        child = multiprocessing.get_context("fork").Process(
            target=run_tasks.load_into, args=(files, made, "retail_test")
        )
        child.start()
        child.join()
        assert run_tasks.read(files["retail_test"]) == run_tasks.load(made, "retail_test").pickled
        assert run_tasks.read(files["retail_train"]) == b""
    for file in files.values():
        with pytest.raises(OSError):
            os.fstat(file)


def test_tasks_for_which_there_is_no_memory_are_counted_all_the_same():
    made, before = config(), resource.getrlimit(resource.RLIMIT_FSIZE)
    with run_tasks.memory_files(["retail_test"]) as files:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        try:
            assert run_tasks.load_into(files, made, "retail_test") == run_tasks.load(made, "retail_test").number
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert run_tasks.read(files["retail_test"]) == b""


def test_tasks_that_pickle_does_not_write_are_counted_all_the_same(monkeypatch):
    tasks = [replace(load_tasks("tau2", "test")[0], initial_state=threading.Lock())]
    monkeypatch.setattr(run_tasks, "load_tasks", lambda *_, **__: tasks)
    assert run_tasks.load(config(), "retail_test") == run_tasks.Loaded(1, b"")


@pytest.mark.parametrize("was_on", [True, False])
def test_the_collector_is_as_it_was_afterwards(was_on):
    (gc.enable if was_on else gc.disable)()
    try:
        with pytest.raises(RuntimeError), run_tasks.collector_paused():
            assert not gc.isenabled()
            raise RuntimeError
        assert gc.isenabled() == was_on
    finally:
        gc.enable()
