"""Looking around for real: this Python, fabricated environments, keys that nobody may see."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest

from tau_retail_env.config.roll_schema import RollSchema
from tau_retail_env.doctor import Environment, Pin, environment_survey, examine, survey
from tau_retail_env.models import shipped
from tau_retail_env.roll.config.package import RollPackage, install_arguments

KEY = "sk-not-a-key-5f1d0c"


def checkout_in(folder: Path, repository: Path) -> Path:
    """A checkout that has nothing but its scripts and lists."""
    for name in ("run_tau_retail_pipeline.sh", "pyproject.toml", "requirements.txt", "requirements-roll.txt"):
        (folder / name).write_bytes((repository / name).read_bytes())
    return folder / shipped.PACKAGE_FOLDER.name


def add_package(site_packages: Path, name: str, version: str) -> None:
    information = site_packages / f"{name}-{version}.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def add_torch(site_packages: Path, cuda: str | None) -> None:
    """A torch whose import would fail, with what a real one says about itself in its file of versions."""
    add_package(site_packages, "torch", "2.10.0")
    (site_packages / "torch").mkdir()
    (site_packages / "torch" / "__init__.py").write_text("raise RuntimeError('imported')")
    text = f"__version__ = '2.10.0'\ncuda: Optional[str] = {cuda!r}\nhip: Optional[str] = None\n"
    (site_packages / "torch" / "version.py").write_text(text)


def test_this_machine_is_told_without_importing_what_is_reported_on(repository):
    program = """
import json, sys
from tau_retail_env.doctor import examine, survey
found = survey()
heavy = "torch transformers trl ray roll gem vllm sglang litellm numpy pandas pydantic rich tau2".split()
print(json.dumps([len(examine(found)), found.here.packages, [name for name in heavy if name in sys.modules]]))
"""
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=repository
    ).stdout
    count, packages, heavy = json.loads(answer)
    assert count > 30
    assert "pytest" in packages
    assert heavy == []


def test_the_versions_of_python_are_those_of_the_package(repository):
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == environment_survey.PYTHON_WANTED


def test_requirements_are_those_of_the_checkout(repository):
    needed = {found.name: found for found in survey().requirements}
    assert needed["pyyaml"].wanted == ">=6"
    assert needed["pyyaml"].install == "pyyaml==6.0.3"
    assert (needed["torch"].extra, needed["torch"].install) == ("train", "torch>=2.6")
    assert needed["hydra-core"].wanted == ">=1.3,<1.4"


def test_requirements_of_an_installed_package_are_those_of_its_metadata(monkeypatch, tmp_path):
    add_package(tmp_path, "tau_retail", "0.1.0")
    with (tmp_path / "tau_retail-0.1.0.dist-info" / "METADATA").open("a") as metadata:
        metadata.write("Requires-Dist: hydra-core<1.4,>=1.3\nRequires-Dist: trl<2,>=1.16; extra == 'train'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(shipped, "PACKAGE_FOLDER", tmp_path / "tau_retail_env")
    found = survey()
    assert found.checkout is None
    assert [(one.name, one.wanted, one.extra) for one in found.requirements] == [
        ("hydra-core", "<1.4,>=1.3", None),
        ("trl", "<2,>=1.16", "train"),
    ]
    assert found.missing_files == ["configs/tau_retail_local.yaml", "checkpoints/small/model.safetensors"]


@pytest.mark.parametrize("cuda", ["12.8", None])
def test_the_second_environment_is_asked_and_nothing_in_it_imported(cuda, monkeypatch, tmp_path, repository):
    monkeypatch.setattr(shipped, "PACKAGE_FOLDER", checkout_in(tmp_path, repository))
    assert survey().roll is None
    venv.create(tmp_path / ".venv-roll", with_pip=False)
    (site_packages,) = (tmp_path / ".venv-roll" / "lib").glob("python*/site-packages")
    add_package(site_packages, "ray", "2.55.1")
    add_torch(site_packages, cuda)
    roll = survey().roll
    assert isinstance(roll, Environment)
    assert roll.packages == {"ray": "2.55.1", "torch": "2.10.0"}
    assert roll.torch_cuda == cuda
    assert roll.version == ".".join(map(str, sys.version_info[:3]))


def test_the_list_of_the_second_environment_is_read_line_by_line(repository):
    pins = {pin.name: pin for pin in survey().roll_pins}
    listed = (repository / "requirements-roll.txt").read_text(encoding="utf-8").splitlines()
    assert len(pins) == sum("==" in line and not line.startswith("#") for line in listed)
    assert pins["ray"] == Pin("ray", "2.55.1", "ray[default]==2.55.1")
    assert pins["transferqueue"].install == "TransferQueue==0.1.11"
    assert [name for name, pin in pins.items() if pin.is_alone] == ["gem-llm", "litellm", "trl"]
    (roll,) = [line for line in listed if line.startswith("-e ")]
    assert install_arguments(RollSchema.load("main").commit).endswith(f"-e '{roll.removeprefix('-e ')}'")


def test_an_installed_package_has_no_list_of_the_second_environment(monkeypatch, tmp_path):
    monkeypatch.setattr(shipped, "PACKAGE_FOLDER", tmp_path / "tau_retail_env")
    assert survey().roll_pins == []


@pytest.fixture
def second_environment(monkeypatch, tmp_path, repository) -> Path:
    """Packages of a .venv-roll; what lies there fails when imported."""
    monkeypatch.setattr(shipped, "PACKAGE_FOLDER", checkout_in(tmp_path, repository))
    venv.create(tmp_path / ".venv-roll", with_pip=False)
    (site_packages,) = (tmp_path / ".venv-roll" / "lib").glob("python*/site-packages")
    return site_packages


def add_roll(parent: Path) -> Path:
    """Alibaba's package, as far as it is looked at."""
    agentic = parent / "roll" / "pipeline" / "agentic"
    agentic.mkdir(parents=True)
    (parent / "roll" / "__init__.py").write_text("raise RuntimeError('imported')")
    (agentic / "agentic_config.py").touch()
    (agentic / "environment_worker.py").write_text("from roll.pipeline.agentic.proxy.server import Server\n")
    return parent / "roll"


def roll_of(found: Environment | str | None) -> RollPackage | None:
    assert isinstance(found, Environment)
    return found.roll_package


def test_a_package_of_rolls_name_is_told_by_its_contents(second_environment):
    assert roll_of(survey().roll) is None
    (second_environment / "roll").mkdir()
    (second_environment / "roll" / "__init__.py").write_text("raise RuntimeError('imported')")
    assert roll_of(survey().roll) == RollPackage(second_environment / "roll", is_alibabas=False)


def test_rolls_own_wheel_is_seen_not_to_be_whole(second_environment):
    folder, note = add_roll(second_environment), second_environment / "roll-0.3.0.dist-info" / "direct_url.json"
    missing = ("roll.pipeline.agentic.proxy.server",)
    assert roll_of(survey().roll) == RollPackage(folder, True, missing)
    note.parent.mkdir()
    note.write_text(json.dumps({"url": "x", "vcs_info": {"commit_id": "abc"}}))
    assert roll_of(survey().roll) == RollPackage(folder, True, missing, "abc")


def test_a_checkout_of_roll_tells_its_commit(second_environment, tmp_path):
    folder = add_roll(tmp_path / "src")
    (second_environment / "roll.pth").write_text(str(tmp_path / "src"))
    (folder / "pipeline" / "agentic" / "proxy").mkdir()
    (folder / "pipeline" / "agentic" / "proxy" / "server.py").touch()
    (tmp_path / "src" / ".git").mkdir()
    (tmp_path / "src" / ".git" / "HEAD").write_text("0123456789" * 4 + "\n")
    assert roll_of(survey().roll) == RollPackage(folder, True, commit="0123456789" * 4)
    (tmp_path / "src" / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    assert roll_of(survey().roll) == RollPackage(folder, True)


def test_a_second_environment_is_set_up_when_the_script_says_so(second_environment, tmp_path):
    assert not survey().is_roll_set_up
    (tmp_path / ".venv-roll" / ".setup-complete").touch()
    assert survey().is_roll_set_up


def test_an_environment_whose_python_is_gone_does_not_answer(monkeypatch, tmp_path, repository):
    monkeypatch.setattr(shipped, "PACKAGE_FOLDER", checkout_in(tmp_path, repository))
    (tmp_path / ".venv-roll").mkdir()
    assert survey().roll == f"{tmp_path / '.venv-roll' / 'bin' / 'python'} does not answer: FileNotFoundError"


def test_devices_are_those_that_the_driver_lists(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA H200'\necho 'NVIDIA H200'\n")
    tool.chmod(0o755)
    assert survey().gpus == ["NVIDIA H200", "NVIDIA H200"]
    tool.write_text("#!/bin/sh\necho 'Driver/library version mismatch'\nexit 18\n")
    assert survey().gpus == "nvidia-smi failed: Driver/library version mismatch"


def test_no_driver_is_no_device(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    found = survey()
    assert found.gpus == []
    assert found.cores >= 1


def test_an_unfinished_set_up_shows(monkeypatch, tmp_path, repository):
    monkeypatch.setattr(shipped, "PACKAGE_FOLDER", checkout_in(tmp_path, repository))
    assert not survey().is_script_set_up
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / ".setup-complete").touch()
    found = survey()
    assert (found.is_script_set_up, found.is_script_environment) == (True, False)


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_key_is_never_printed(form, repository):
    keys = dict.fromkeys(environment_survey.KEYS, KEY) | {"HF_TOKEN": ""}
    answer = subprocess.run(
        [sys.executable, "-m", "tau_retail_env", "doctor", *form],
        capture_output=True,
        text=True,
        check=False,
        cwd=repository,
        env=os.environ | keys,
    )
    assert answer.returncode in (0, 1)
    shown = answer.stdout + answer.stderr
    assert not any(KEY[start : start + 4] in shown for start in range(len(KEY) - 3))
    assert "OPENAI_API_KEY" in shown


def test_an_address_of_the_environment_is_noticed_and_not_read(monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", f"https://user:{KEY}@somewhere")
    found = survey()
    assert found.has_unread_base_url
    assert KEY not in f"{found} {examine(found)}"


def test_an_empty_key_is_no_key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("HF_TOKEN", "")
    found = survey()
    assert (found.keys["OPENAI_API_KEY"], found.keys["HF_TOKEN"]) == (True, False)
    assert KEY not in f"{found} {examine(found)}"
