"""Checking a configuration: it costs little, and refuses what a run on this machine would refuse."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tau_retail_env.cli import main
from tau_retail_env.config import compose, config_names
from tau_retail_env.config.machine import has_gpu
from tau_retail_env.local.config import check_local, check_sft, machine, machine_problems
from tau_retail_env.models.shipped import default_config_folder

FINE_TUNING = ("tau_retail_sft", "tau_retail_smol_sft", "tau_retail_pipeline", "tau_retail_smol_pipeline")
ON_TAU2 = ("tau_retail_eval",)
"""Plays τ²'s tasks, whose check reads the shop that generated ones are drawn from, too."""
PRINTED = [name for name in config_names(default_config_folder()) if name not in (*FINE_TUNING, *ON_TAU2)]
PROGRAM = """
import contextlib, io, json, sys
from tau_retail_env.cli import main
with contextlib.redirect_stdout(io.StringIO()):
    assert main(["train", "--print-config", "--config-name", sys.argv[1]]) == 0
from tau_retail_env.sources.generated import requests
from tau_retail_env.sources.load import _all_tasks
heavy = "torch transformers trl pandas numpy tau2 litellm openai asyncio gem ray roll".split()
print(json.dumps([[name for name in heavy if name in sys.modules], requests.shop_database.cache_info().currsize]))
"""


@pytest.mark.parametrize("name", PRINTED)
def test_no_model_library_is_imported_and_no_task_generated(repository: Path, name: str):
    shown = subprocess.run(
        [sys.executable, "-c", PROGRAM, name],
        env={**os.environ, "PYTHONPATH": str(repository), "TAU_BENCH_PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(shown.stdout) == [[], 0]


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("prompt_style=ful", "prompt_style: ful cannot be honoured. Expected full or compressed or minimal."),
        (
            "custom_envs.retail_train.env_config.prompt_style=ful",
            "custom_envs.retail_train.env_config.prompt_style: found 'ful', expected full or compressed or minimal",
        ),
        ("pretrain=./no/such/folder", "pretrain: there is no folder ./no/such/folder"),
        ("pretrain=outputs/no/model", "pretrain: there is no folder outputs/no/model"),
        ("resume=no/such/run", "no/such/run; give the folder of a run"),
    ],
)
@pytest.mark.parametrize("name", ["tau_retail_local", "tau_retail_1gpu"])
def test_what_a_run_would_refuse_is_refused_without_starting_one(name, override, words, capsys):
    assert main(["train", "--print-config", "--config-name", name, override]) == 2
    shown = capsys.readouterr()
    assert (shown.out, words in shown.err) == ("", True)


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("tau_retail_local", []),
        ("tau_retail_1gpu", ["pretrain=small", "prompt_style=minimal"]),
        ("tau_retail_samples", ["pretrain=small"]),
    ],
)
def test_episodes_longer_than_the_model_reads_are_refused_by_its_config_alone(name, more, capsys):
    assert main(["train", "--print-config", "--config-name", name, "sequence_length=1000000", *more]) == 2
    assert "reads 2048 tokens at most" in capsys.readouterr().err


def test_bf16_without_a_gpu_is_refused_on_the_local_engine(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    config = check_local(compose("tau_retail_local", overrides=["actor_train.model_args.dtype=bf16"]))
    (problem,) = machine_problems(config)
    assert problem.startswith("actor_train.model_args.dtype: bf16 needs a GPU")
    assert not [*machine_problems(check_local(compose("tau_retail_local")))]


def test_a_gpu_is_told_by_its_device_file_unless_it_is_hidden(monkeypatch, tmp_path: Path):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (tmp_path / "nvidiactl").touch()
    assert not has_gpu(tmp_path)
    (tmp_path / "nvidia0").touch()
    assert has_gpu(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert not has_gpu(tmp_path)


def test_a_tracker_that_is_not_installed_is_refused_with_the_command_that_brings_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    config = check_local(compose("tau_retail_local", overrides=["track_with=trackio"]))
    (problem,) = machine_problems(config)
    assert "pip install 'trackio'" in problem


@pytest.mark.parametrize(("is_gpu", "language", "variable"), [(True, "C", "CC"), (False, "C++", "CXX")])
def test_compilation_without_a_compiler_is_refused(is_gpu, language, variable, monkeypatch, tmp_path):
    changes = ["sft_train.torch_compile=true", "sft_train.model_args.dtype=fp32"]
    config = check_sft(compose("tau_retail_sft", overrides=changes))
    monkeypatch.setattr(machine, "has_gpu", lambda: is_gpu)
    monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(machine.sysconfig, "get_path", lambda name: str(tmp_path))
    (tmp_path / "Python.h").touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    (problem,) = machine_problems(config)
    assert problem.startswith(
        f"sft_train.torch_compile: needs a {language} compiler, and none is here (neither {variable}"
    )
    (tmp_path / "mycc").touch(mode=0o755)
    monkeypatch.setenv(variable, "mycc")
    assert not [*machine_problems(config)]
    (tmp_path / "Python.h").unlink()
    (problem,) = machine_problems(config)
    assert problem.startswith("sft_train.torch_compile: needs Python's headers")
