"""An engine's process that is started before there is an engine."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tau_retail_env.roll.engine_ahead import (
    NAME,
    READ_EARLY,
    WANTED,
    EngineProcess,
    WithOneReady,
    set_by_roll,
    use_for_the_engine,
    wants_one,
)

LIMIT_S = 60
BEFORE = ("json.tool", "no_such_module")


def config(**of_parallel: Any) -> Any:
    """vLLM's, as far as it is read."""
    return SimpleNamespace(parallel_config=SimpleNamespace(**{"data_parallel_size": 1} | of_parallel))


def tell(vllm_config: Any, path: str, tensor_queue: Any = None) -> None:
    """What an engine's process is given to do."""
    said = (os.getpid(), os.environ["VLLM_PORT"], "REMOVED" in os.environ, "json.tool" in sys.modules)
    Path(path).write_text(repr(said))


@pytest.fixture(autouse=True)
def _tests_are_these(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fresh Python looks for this file's functions in `tests`, of which ROLL's checkout has one of its own."""
    monkeypatch.setattr(sys, "path", [one for one in sys.path if not Path(one, "tests/__init__.py").is_file()])


@pytest.fixture
def ready(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("REMOVED", "1")
    monkeypatch.setenv("VLLM_PORT", "20000")
    for name, value in set_by_roll().items():
        monkeypatch.setenv(name, value)  # as ROLL does before it wants an engine
    process = EngineProcess(BEFORE)
    yield process
    process.kill()
    process.join(LIMIT_S)


def run(context: WithOneReady, path: Path, **kwargs: Any) -> tuple[Any, ...]:
    """As vLLM has a process made."""
    process = context.Process(target=tell, name=NAME, kwargs={"vllm_config": config(), "path": str(path)} | kwargs)
    process.start()
    process.join(LIMIT_S)
    assert process.exitcode == 0
    said: tuple[Any, ...] = eval(path.read_text())
    assert said[0] == process.pid
    return said


def test_it_does_what_it_is_given_with_the_variables_of_then(ready, tmp_path, monkeypatch):
    monkeypatch.setenv("VLLM_PORT", "20001")  # as ROLL does when the process runs already
    monkeypatch.delenv("REMOVED")
    context = WithOneReady(ready)
    assert run(context, tmp_path / "first") == (ready.pid, "20001", False, True)
    second = run(context, tmp_path / "second")
    assert second[0] != ready.pid and second[1:] == ("20001", False, False)


def call_itself(path: str, **_: Any) -> None:
    """Stands in for vLLM's engine, which takes a title of its own."""
    importlib.import_module("setproctitle").setproctitle("VLLM::EngineCore")
    Path(path).write_bytes(Path("/proc/self/cmdline").read_bytes())


def test_it_can_take_the_engines_title(ready, tmp_path):
    pytest.importorskip("setproctitle")  # vLLM brings it
    kwargs = {"vllm_config": config(), "path": str(tmp_path / "title")}
    process = WithOneReady(ready).Process(target=call_itself, name=NAME, kwargs=kwargs)
    process.start()
    process.join(LIMIT_S)
    assert process is ready and (tmp_path / "title").read_bytes().startswith(b"VLLM::EngineCore")


def another_is_taken(ready: EngineProcess, path: Path, **kwargs: Any) -> None:
    assert run(WithOneReady(ready), path, **kwargs)[0] != ready.pid
    ready.join(LIMIT_S)
    assert not ready.is_alive(), "it waits for ever"


@pytest.mark.parametrize("of_parallel", [{"data_parallel_size": 2}, {"numa_bind": True}])
def test_a_process_whose_variables_or_cores_are_chosen_at_its_start_is_another(ready, tmp_path, of_parallel):
    another_is_taken(ready, tmp_path / "said", vllm_config=config(**of_parallel))


@pytest.mark.parametrize("name", ["CUDA_VISIBLE_DEVICES", "PYTORCH_CUDA_ALLOC_CONF"])
def test_a_process_that_would_have_read_other_variables_is_another(ready, tmp_path, monkeypatch, name):
    monkeypatch.setenv(name, "set since")
    another_is_taken(ready, tmp_path / "said")


def test_what_can_only_be_given_at_a_start_is_given_to_another(ready, tmp_path):
    another_is_taken(ready, tmp_path / "said", tensor_queue=multiprocessing.get_context("spawn").Queue())


def test_what_multiprocessing_is_asked_for_in_another_way_is_done_by_another(ready):
    process = WithOneReady(ready).Process(None, sorted, NAME, ([2, 1],))
    assert process is not ready
    process.start()
    process.join(LIMIT_S)
    assert process.exitcode == 0


def test_one_that_has_ended_is_replaced(ready, tmp_path):
    ready.kill()
    ready.join(LIMIT_S)
    another_is_taken(ready, tmp_path / "said")


@pytest.mark.parametrize("end", ["", "os.kill(os.getpid(), 9)"])
def test_without_an_engine_it_ends_with_its_worker(repository, end):
    program = f"""
    import os
    from tau_retail_env.roll.engine_ahead import EngineProcess

    if __name__ == "__main__":
        EngineProcess(("json.tool",))
        {end}
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    # Waits for all that hold its output.
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == (-9 if end else 0) and not done.stderr


@pytest.mark.parametrize(("method", "is_taken"), [("spawn", True), ("fork", False)])
def test_vllm_finds_it_where_it_starts_fresh_pythons(ready, monkeypatch, method, is_taken):
    utils = pytest.importorskip("vllm.v1.engine.utils")
    monkeypatch.setenv("VLLM_WORKER_MULTIPROC_METHOD", method)  # ROLL sets spawn
    monkeypatch.setattr(utils, "get_mp_context", utils.get_mp_context)  # put back afterwards
    use_for_the_engine(ready)
    made = utils.get_mp_context().Process(target=tell, name=NAME, kwargs={"vllm_config": config()})
    assert (made is ready) == is_taken


def test_a_vllm_that_starts_engines_in_another_way_leaves_none_waiting(ready, monkeypatch):
    utils = pytest.importorskip("vllm.v1.engine.utils")
    monkeypatch.delattr(utils, "get_mp_context")
    use_for_the_engine(ready)
    ready.join(LIMIT_S)
    assert ready.exitcode == 0


def test_roll_sets_the_variables_that_it_began_with(roll):
    source = (roll / "roll" / "third_party" / "vllm" / "__init__.py").read_text()
    set_there = set(re.findall(r'os\.environ\["(\w+)"\] =', source))
    assert {name for name in set_there if name in READ_EARLY} == set(set_by_roll())


def test_only_an_engine_of_vllms_on_one_gpu_has_one():
    for strategy, gpus, wants in (("vllm", 1, True), ("vllm", 2, False), ("sglang", 1, False)):
        role = SimpleNamespace(strategy_args=SimpleNamespace(strategy_name=strategy), num_gpus_per_worker=gpus)
        assert wants_one(role) == wants


@pytest.mark.parametrize("is_wanted", [True, False])
def test_a_rollout_worker_has_it_before_it_imports_anything_else_and_no_other_process_has_one(repository, is_wanted):
    program = """
    import os

    from tau_retail_env.roll import engine_ahead

    if __name__ == "__main__":
        import multiprocessing

        process = engine_ahead.engine_process()
        begun = multiprocessing.active_children()
        assert begun == ([process] if process else []), begun
        print(process is not None, engine_ahead.WANTED in os.environ, os.getpgrp() == os.getpid())
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    environment = os.environ | ({WANTED: "1"} if is_wanted else {})
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=LIMIT_S, env=environment)
    assert done.stdout == f"{is_wanted} False {is_wanted}\n", done.stderr
