"""An engine's start without a Python of its own for the model's class."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest


@pytest.fixture
def registry(roll: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """vLLM's, on a machine where it knows no model yet, and where starting a Python is an error."""
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("needs vLLM")
    monkeypatch.setenv("VLLM_CACHE_ROOT", str(tmp_path))
    from vllm.model_executor.models import registry

    run = subprocess.run

    def refuse(command: Any, *args: Any, **kwargs: Any) -> Any:
        if sys.executable in command:
            raise AssertionError(f"a Python is started: {command}")
        return run(command, *args, **kwargs)

    monkeypatch.setattr(registry, "_run_in_subprocess", registry._run_in_subprocess)  # put back afterwards
    monkeypatch.setattr(subprocess, "run", refuse)
    return registry


def test_vllm_starts_a_python_to_look_a_model_up(registry):
    with pytest.raises(AssertionError, match="a Python is started"):
        registry.ModelRegistry.models["LlamaForCausalLM"].inspect_model_cls()


@pytest.mark.parametrize("class_name", ["LlamaForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"])
def test_it_is_looked_up_here(registry, class_name, tmp_path):
    from tau_retail_env.models.vllm_start import look_up_models_here

    look_up_models_here()
    found = registry.ModelRegistry.models[class_name].inspect_model_cls()
    assert found.architecture == class_name
    assert found.is_text_generation_model
    assert list(tmp_path.rglob("*.json")), "and is kept for the next start"
    import torch

    assert not torch.cuda.is_initialized()


def test_a_rollout_worker_looks_it_up_here(registry):
    from tau_retail_env.roll.preload import import_engine

    import_engine("vllm")
    assert registry.ModelRegistry.models["LlamaForCausalLM"].inspect_model_cls().is_text_generation_model


@pytest.mark.parametrize("set_there", [None, "there"])
def test_the_engines_of_a_machine_keep_their_kernels_in_one_folder(registry, tmp_path, monkeypatch, set_there):
    from tau_retail_env.roll.preload import import_engine

    monkeypatch.setenv("TRITON_CACHE_DIR", set_there or "")
    if set_there is None:
        monkeypatch.delenv("TRITON_CACHE_DIR")
    import_engine("vllm")
    assert os.environ["TRITON_CACHE_DIR"] == (set_there or str(tmp_path / "triton"))


@pytest.mark.usefixtures("roll")
@pytest.mark.parametrize(("strategy_config", "at_once"), [({"max_num_seqs": 48}, 48), (None, 128)])
def test_a_rollout_worker_compiles_the_samplers_kernel_once_vllm_is_imported(monkeypatch, strategy_config, at_once):
    from roll.pipeline.base_worker import InferWorker

    from tau_retail_env.models.shapes import shape_of
    from tau_retail_env.roll import preload, workers

    done: list[Any] = []
    monkeypatch.setattr(os, "setpgrp", lambda: None)
    monkeypatch.setattr(InferWorker, "__init__", lambda *_: None)
    monkeypatch.setattr(workers, "import_engine", lambda strategy, process: done.append(strategy))
    monkeypatch.setattr(workers, "engine_process", lambda: None)
    monkeypatch.setattr(preload, "compile_sampler", lambda *given: done.append(given))
    for strategy in ("vllm", "sglang"):
        role = SimpleNamespace(
            strategy_args=SimpleNamespace(strategy_name=strategy, strategy_config=strategy_config),
            model_args=SimpleNamespace(model_name_or_path="small"),
        )
        worker = workers.RolloutWorker(role)
        worker.compiling.join(60)
    assert done == ["vllm", (shape_of("small").vocabulary, at_once), "sglang"]


@pytest.mark.usefixtures("registry")
def test_nothing_is_compiled_for_a_machine_without_a_gpu_of_nvidias(monkeypatch):
    from tau_retail_env.models import vllm_kernels

    monkeypatch.setattr(vllm_kernels, "compile_sampler_for", lambda *_: pytest.fail("compiles"))
    vllm_kernels.compile_sampler(49152)
