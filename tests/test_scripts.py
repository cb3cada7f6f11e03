"""The two scripts, run for real but for the Python that they find: it notes what pip was asked for, no more."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from tau_retail_env.sources.tau2.editions import INSTALL_COMMAND

FILES = (
    "run_tau_retail_pipeline.sh",
    "run_tests.sh",
    "requirements.txt",
    "requirements-dev.txt",
    "requirements-roll.txt",
    "requirements-roll-deepspeed.txt",
    "requirements-roll-megatron.txt",
    "requirements-roll-sglang.txt",
    "pyproject.toml",
)
TOOLS = "bash cat df dirname env flock grep head mkdir mv readlink rm sh sed sha256sum sleep tail cp".split()
STAND_IN_PYTHON = f"""#!/bin/sh
here=$(dirname "$0")
notes=$(cat "$here/notes-are-in")
case "$1 $2" in
  "-m venv")
    echo "$*" >>"$notes/calls"
    for folder in "$@"; do :; done
    mkdir -p "$folder/bin"
    cp "$0" "$folder/bin/python"
    cp "$here/notes-are-in" "$folder/bin/notes-are-in"
    case "$*" in *--system-site-packages*) kept=true ;; *) kept=false ;; esac
    echo "include-system-site-packages = $kept" >"$folder/pyvenv.cfg" ;;
  "-m pip")
    case "$*" in *--dry-run*) cat "$notes/pip-report"; exit ;; esac
    echo "$*" >>"$notes/calls"
    [ ! -f "$notes/pip-waits" ] || sleep 1
    if [ -f "$notes/pip-fails" ]; then echo "no such package"; exit 1; fi ;;
  "-c "*) PYTHONPATH=$notes/modules exec {sys.executable} -S "$@" ;;
  "--version "*) echo "Python 3.11.0" ;;
  *)
    echo "started: $*"
    [ ! -f "$notes/$2-fails" ] ;;
esac
"""
ARGUMENTS = {"deepspeed": "train", "megatron": "train", "sglang": "infer"}
TORCH_WITH_CUDA = """
from types import SimpleNamespace
__version__ = "2.9.0+cu128"
version = SimpleNamespace(cuda="12.8")
cuda = SimpleNamespace(is_available=lambda: True)
"""


class Machine:
    """A copy of the scripts on a machine whose PATH holds the usual tools and one stand-in Python."""

    def __init__(self, folder: Path, repository: Path) -> None:
        self.project = folder / "a project"
        self.binaries = folder / "bin"
        self.notes = folder / "notes"
        self.variables: dict[str, str] = {}
        for made in (self.project / "configs", self.binaries, self.notes / "modules"):
            made.mkdir(parents=True)
        for name in FILES:
            shutil.copy(repository / name, self.project / name)
        for tool in TOOLS:
            (self.binaries / tool).symlink_to(shutil.which(tool))
        (self.binaries / "notes-are-in").write_text(str(self.notes))
        self.add_program("python3.11", STAND_IN_PYTHON)

    def add_program(self, name: str, text: str) -> None:
        (self.binaries / name).write_text(text)
        (self.binaries / name).chmod(0o755)

    def add_gpus(self, gpus: int) -> None:
        listing = "".join(f"echo 'GPU {number}: a GPU'\n" for number in range(gpus))
        self.add_program("nvidia-smi", "#!/bin/sh\n" + listing)
        (self.notes / "modules" / "torch.py").write_text(TORCH_WITH_CUDA)

    def add_config(self, name: str, text: str = "engine: roll\n") -> None:
        (self.project / "configs" / f"{name}.yaml").write_text(text)

    def start(self, *arguments: str, script: str = "run_tau_retail_pipeline.sh") -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(self.project / script), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.notes,
            env={"PATH": str(self.binaries), **self.variables},
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores it
        )

    def run(self, *arguments: str, script: str = "run_tau_retail_pipeline.sh") -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments, script=script)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def calls(self) -> list[str]:
        """What Python was asked to make or install so far."""
        noted = self.notes / "calls"
        return noted.read_text().splitlines() if noted.exists() else []

    def is_set_up(self, environment: str = ".venv") -> bool:
        return (self.project / environment / ".setup-complete").exists()


@pytest.fixture
def machine(tmp_path: Path, repository: Path) -> Machine:
    machine = Machine(tmp_path, repository)
    machine.add_config("tau_retail_local", "engine: local\n")
    return machine


def test_help_explains_and_sets_nothing_up(machine):
    result = machine.run("--help")
    assert result.returncode == 0
    assert "--config-name NAME" in result.stdout
    assert machine.calls() == []


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--setup-onyl"], "--setup-onyl"),
        (["max_steps"], "max_steps"),
        (["--config-name"], "--config-name"),
        (["--config-name="], "--config-name"),
        (["--config-name", "--print-config"], "--config-name"),
    ],
)
def test_what_is_not_understood_is_refused_by_name_before_anything_starts(machine, arguments, named):
    result = machine.run(*arguments)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert named in result.stderr
    assert machine.calls() == []


def test_a_configuration_that_is_not_there_is_refused_before_anything_is_installed(machine):
    machine.add_config("mine")
    result = machine.run("--config-name", "tau_retial_local", "--print-config")
    assert result.returncode == 2
    assert "no configs/tau_retial_local.yaml; configs/ has: mine, tau_retail_local." in result.stderr
    assert machine.calls() == []


def test_torch_is_installed_first_and_tau2_without_its_tree(machine):
    assert machine.run("--setup-only").returncode == 0
    venv, torch, requirements, tau2, own = machine.calls()
    assert venv.startswith("-m venv")
    assert "torch-version.txt" in torch
    assert (machine.project / ".venv" / "torch-version.txt").read_text() == "torch==2.13.0\n"
    assert "requirements.txt" in requirements
    assert tau2.endswith(INSTALL_COMMAND.removeprefix("pip install "))
    assert "--no-deps --editable" in own


def test_a_second_start_sets_nothing_up(machine):
    machine.run("--setup-only")
    before = machine.calls()
    result = machine.run()
    assert result.returncode == 0
    assert machine.calls() == before
    assert "started: start_agentic_pipeline.py --config-name tau_retail_local" in result.stdout


def test_changed_requirements_are_installed_into_the_same_environment(machine):
    machine.run("--setup-only")
    before = machine.calls()
    with (machine.project / "requirements.txt").open("a") as file:
        file.write("extra==1\n")
    machine.run("--setup-only")
    added = machine.calls()[len(before) :]
    assert added
    assert not [call for call in added if "venv" in call.split()]


def test_the_environment_of_another_python_is_made_anew(machine):
    machine.run("--setup-only")
    stamp = machine.project / ".venv" / ".setup-complete"
    stamp.write_text(stamp.read_text().replace("3.1", "3.0", 1))
    machine.run("--setup-only")
    assert len([call for call in machine.calls() if call.startswith("-m venv")]) == 2


def test_a_failed_install_shows_the_log_and_the_next_start_repairs(machine):
    (machine.notes / "pip-fails").touch()
    result = machine.run("--setup-only")
    assert result.returncode == 1
    assert "no such package" in result.stderr
    assert "setup.log" in result.stderr
    assert not machine.is_set_up()
    (machine.notes / "pip-fails").unlink()
    assert machine.run("--setup-only").returncode == 0
    assert machine.is_set_up()


def test_a_set_up_that_was_killed_is_repaired_from_the_start(machine):
    (machine.notes / "pip-waits").touch()
    process = machine.start("--setup-only")
    while len(machine.calls()) < 2:
        time.sleep(0.02)
    os.killpg(process.pid, 9)
    process.communicate()
    assert not machine.is_set_up()
    (machine.notes / "pip-waits").unlink()
    before = machine.calls()
    assert machine.run("--setup-only").returncode == 0
    assert machine.calls()[len(before)].startswith("-m venv")
    assert machine.is_set_up()


def wait_for_calls(machine: Machine, number: int) -> None:
    deadline = time.monotonic() + 30
    while len(machine.calls()) < number and time.monotonic() < deadline:
        time.sleep(0.02)


def ask_for_more(machine: Machine) -> None:
    """What is installed next lasts a while, and is another list."""
    with (machine.project / "requirements.txt").open("a") as file:
        file.write("extra==1\n")
    (machine.notes / "pip-waits").touch()


def of_another_python(machine: Machine) -> None:
    """The environment looks as if an older Python had made it, so that it is to be made anew."""
    stamp = machine.project / ".venv" / ".setup-complete"
    stamp.write_text(stamp.read_text().replace("3.1", "3.0", 1))


@pytest.mark.parametrize("to_all", [True, False])
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130), (signal.SIGKILL, -9)]
)
def test_an_update_that_was_ended_is_repaired_without_deleting_the_environment(machine, number, status, to_all):
    machine.run("--setup-only")
    own = machine.project / ".venv" / "own"
    own.touch()
    before = len(machine.calls())
    ask_for_more(machine)
    process = machine.start("--setup-only")
    wait_for_calls(machine, before + 1)
    (os.killpg if to_all else os.kill)(process.pid, number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == status
    assert number == signal.SIGKILL or "the same command again continues it" in err
    assert own.exists() and not machine.is_set_up()
    (machine.notes / "pip-waits").unlink()
    assert machine.run("--setup-only").returncode == 0
    assert own.exists() and machine.is_set_up()
    assert not [call for call in machine.calls()[before:] if "venv" in call.split()]
    assert machine.run("--setup-only").stderr.count("[set-up]") == 0


def test_an_environment_that_cannot_be_made_anew_stays_as_it_was(machine):
    machine.run("--setup-only")
    environment = machine.project / ".venv"
    (environment / "own").touch()
    of_another_python(machine)
    (machine.notes / "pip-fails").touch()
    result = machine.run("--setup-only")
    assert result.returncode == 1
    assert "no such package" in (environment / "setup.log").read_text()
    assert (environment / "own").exists() and machine.is_set_up()
    (machine.notes / "pip-fails").unlink()
    assert machine.run("--setup-only").returncode == 0
    assert machine.is_set_up() and not (environment / "own").exists()
    assert [path.name for path in machine.project.glob(".venv*")] == [".venv"]


@pytest.mark.parametrize(("number", "is_back_at_once"), [(signal.SIGTERM, True), (signal.SIGKILL, False)])
def test_an_environment_comes_back_where_the_new_one_was_ended(machine, number, is_back_at_once):
    machine.run("--setup-only")
    own = machine.project / ".venv" / "own"
    own.touch()
    of_another_python(machine)
    before = len(machine.calls())
    (machine.notes / "pip-waits").touch()
    process = machine.start("--setup-only")
    wait_for_calls(machine, before + 2)
    os.killpg(process.pid, number)
    process.communicate(timeout=60)
    assert own.exists() == is_back_at_once
    (machine.notes / "pip-waits").unlink()
    (machine.notes / "pip-fails").touch()
    assert machine.run("--setup-only").returncode == 1
    assert own.exists()
    (machine.notes / "pip-fails").unlink()
    assert machine.run("--setup-only").returncode == 0
    assert machine.is_set_up() and not own.exists()
    assert [path.name for path in machine.project.glob(".venv*")] == [".venv"]


def test_an_environment_that_the_script_did_not_make_is_replaced_by_a_complete_one_alone(machine):
    own = machine.project / ".venv" / "own"
    own.parent.mkdir()
    own.touch()
    (machine.notes / "pip-fails").touch()
    assert machine.run("--setup-only").returncode == 1
    assert own.exists()
    (machine.notes / "pip-fails").unlink()
    assert machine.run("--setup-only").returncode == 0
    assert machine.is_set_up() and not own.exists()


def test_what_a_first_set_up_has_left_half_done_is_not_kept(machine):
    """It may be large, and the disk full."""
    (machine.notes / "pip-fails").touch()
    machine.run("--setup-only")
    (machine.project / ".venv" / "own").touch()
    machine.run("--setup-only")
    assert not (machine.project / ".venv" / "own").exists()
    assert [path.name for path in machine.project.glob(".venv*")] == [".venv"]


@pytest.mark.parametrize("named", ["a project/.venv/bin", "a project/.venv/bin/", "a link/.venv/bin"])
def test_an_activated_environment_is_not_made_anew_by_its_own_python(machine, named):
    machine.run("--setup-only")
    of_another_python(machine)
    machine.project.with_name("a link").symlink_to(machine.project)
    binaries = machine.project / ".venv" / "bin"
    shutil.copy(binaries / "python", binaries / "python3.11")
    machine.variables["PATH"] = f"{machine.project.parent}/{named}:{machine.binaries}"
    result = machine.run("--setup-only")
    assert result.returncode == 0
    assert f"[set-up] Python 3.11.0, {machine.binaries / 'python3.11'}" in result.stderr


def test_an_environment_whose_torch_below_is_gone_is_made_anew(machine):
    machine.add_gpus(1)
    machine.run("--setup-only")
    assert "--system-site-packages" in machine.calls()[0]
    (machine.notes / "modules" / "torch.py").unlink()
    (machine.binaries / "nvidia-smi").unlink()
    before = len(machine.calls())
    ask_for_more(machine)
    assert machine.run("--setup-only").returncode == 0
    assert "--system-site-packages" not in machine.calls()[before]


def test_of_two_starts_at_once_one_sets_up_and_the_other_waits(machine):
    (machine.notes / "pip-waits").touch()
    first = machine.start("--setup-only")
    while not machine.calls():
        time.sleep(0.02)
    second = machine.run("--setup-only")
    first.communicate(timeout=60)
    assert (first.returncode, second.returncode) == (0, 0)
    assert "waiting" in second.stderr
    assert len([call for call in machine.calls() if call.startswith("-m venv")]) == 1


def test_without_a_usable_python_the_error_says_what_to_install(machine):
    (machine.binaries / "python3.11").unlink()
    result = machine.run("--setup-only")
    assert result.returncode == 1
    assert "Python 3.11 or 3.12" in result.stderr


def test_options_and_overrides_are_passed_on_as_they_are(machine):
    result = machine.run("--config_name=mine", "--config-path", "a b", "--print-config", "user.style=x y", "+more=1")
    assert result.stdout.splitlines()[-1] == (
        "started: start_agentic_pipeline.py --config-name mine --config-path a b --print-config user.style=x y +more=1"
    )


def test_ctrl_c_in_the_set_up_ends_with_130_and_says_how_to_go_on(machine):
    (machine.notes / "pip-waits").touch()
    process = machine.start("--setup-only")
    deadline = time.monotonic() + 30
    while len(machine.calls()) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted: the set-up is not finished; the same command again continues it" in err
    assert not machine.is_set_up()


def test_a_run_that_is_gone_on_with_brings_its_configuration_and_its_engine(machine):
    """On a machine whose GPU would choose another one."""
    machine.add_gpus(1)
    machine.add_config("tau_retail_1gpu")
    run = machine.project / "outputs" / "a run"
    (run / "checkpoints" / "checkpoint-5").mkdir(parents=True)
    (run / "config.yaml").write_text("engine: local\n")
    for folder in ("outputs/a run", "outputs/a run/checkpoints/checkpoint-5", str(run)):
        result = machine.run(f"resume={folder}", "max_steps=9")
        assert result.stdout == f"started: start_agentic_pipeline.py resume={folder} max_steps=9\n"
        assert "config.yaml: the run that is resumed" in result.stderr and "[engine] local" in result.stderr
    (run / "config.yaml").write_text("engine: auto\nactor_infer:\n  strategy_args:\n    strategy_name: vllm\n")
    assert "[engine] roll" in machine.run("resume=outputs/a run").stderr
    machine.add_config("mine")
    assert "--config-name mine" in machine.run("--config-name", "mine", "resume=outputs/a run").stdout
    assert "--config-name tau_retail_1gpu" in machine.run("resume=true").stdout


@pytest.mark.parametrize(
    ("gpus", "present", "chosen"),
    [
        (0, ["tau_retail_1gpu", "tau_retail_config"], "tau_retail_local"),
        (1, ["tau_retail_1gpu", "tau_retail_config"], "tau_retail_1gpu"),
        (7, ["tau_retail_1gpu", "tau_retail_config"], "tau_retail_1gpu"),
        (8, ["tau_retail_1gpu", "tau_retail_config"], "tau_retail_config"),
        (8, ["tau_retail_1gpu"], "tau_retail_local"),
    ],
)
def test_the_configuration_fits_the_gpus_and_the_reason_is_told(machine, gpus, present, chosen):
    if gpus:
        machine.add_gpus(gpus)
    for name in present:
        machine.add_config(name)
    result = machine.run()
    assert result.stderr.startswith(f"[config] {chosen}: {gpus} GPUs")
    assert result.stdout == f"started: start_agentic_pipeline.py --config-name {chosen}\n"


@pytest.mark.parametrize(
    ("visible", "chosen"), [("3", "tau_retail_1gpu"), ("", "tau_retail_local"), ("-1", "tau_retail_local")]
)
def test_only_visible_gpus_count(machine, visible, chosen):
    machine.add_gpus(8)
    machine.variables["CUDA_VISIBLE_DEVICES"] = visible
    for name in ("tau_retail_1gpu", "tau_retail_config"):
        machine.add_config(name)
    assert machine.run("--setup-only").stderr.startswith(f"[config] {chosen}: ")


def test_roll_has_an_environment_of_its_own(machine):
    machine.add_gpus(1)
    machine.add_config("tau_retail_1gpu")
    result = machine.run("max_steps=3")
    venv, listed, alone, tau2, own = machine.calls()
    assert "--system-site-packages" not in venv
    assert venv.endswith("/.venv-roll")
    assert "with-dependencies.txt" in listed and "--no-deps" not in listed
    assert "--no-deps --ignore-requires-python" in alone
    assert tau2.endswith(INSTALL_COMMAND.removeprefix("pip install "))
    assert "--no-deps --editable" in own
    assert machine.is_set_up(".venv-roll") and not machine.is_set_up(".venv")
    assert "[engine] roll, in " in result.stderr
    assert result.stdout == "started: start_agentic_pipeline.py --config-name tau_retail_1gpu max_steps=3\n"


@pytest.mark.parametrize(("warm_start", "both"), [("sft+rft", True), ("none", False)])
def test_a_warm_start_gets_the_environment_of_the_local_engine_too(machine, warm_start, both):
    machine.add_gpus(1)
    machine.add_config("tau_retail_1gpu", f"engine: roll\nwarm_start: {warm_start}  # before it\n")
    result = machine.run()
    assert machine.is_set_up(".venv-roll") and machine.is_set_up(".venv") is both
    assert ("for the stages of the chain or of warm_start" in result.stderr) is both
    assert result.stdout == "started: start_agentic_pipeline.py --config-name tau_retail_1gpu\n"
    assert not machine.run("warm_start=none").stderr.count("[set-up]")


def test_a_chain_with_roll_among_its_stages_gets_both_environments_where_there_is_a_gpu(machine):
    machine.add_config("tau_retail_1gpu", "engine: roll\n")
    machine.add_config("mine", "engine: chain\nstages:\n  ppo:\n    config: tau_retail_1gpu\n")
    (machine.project / "tau-bench" / "tau_bench").mkdir(parents=True)
    machine.run("--config-name", "mine")
    assert machine.is_set_up(".venv") and not machine.is_set_up(".venv-roll")
    machine.add_gpus(1)
    result = machine.run("--config-name", "mine")
    assert machine.is_set_up(".venv-roll")
    assert result.stdout == "started: start_agentic_pipeline.py --config-name mine\n"


GIT = """#!/bin/sh
echo "git $*" >>"{calls}"
{fetch}
"""


@pytest.fixture
def plays_v1(machine):
    """A machine whose configuration for its GPU plays tasks of τ-bench v1; returns how its git fetches them."""
    machine.add_gpus(1)
    machine.add_config("tau_retail_1gpu", "engine: roll\ntask_source: tau_bench  # 500 tasks\n")
    fetched = machine.project / "tau-bench" / "tau_bench"

    def git(fetch: str = f"mkdir -p '{fetched}'") -> None:
        machine.add_program("git", GIT.format(calls=machine.notes / "calls", fetch=fetch))

    git()
    return git


def test_the_tasks_of_v1_are_fetched_before_anything_large_is_installed(machine, plays_v1):
    result = machine.run()
    fetched, *installed = machine.calls()
    assert fetched.startswith("git -C ") and fetched.endswith(" submodule --quiet update --init tau-bench")
    assert len(installed) == 5
    assert "[tasks] tau-bench: git submodule update --init ... done" in result.stderr
    assert result.stdout == "started: start_agentic_pipeline.py --config-name tau_retail_1gpu\n"
    machine.run()
    assert len(machine.calls()) == 6


@pytest.mark.parametrize(("arguments", "variable"), [(["task_source=tau2"], ""), ([], "a/checkout")])
def test_nothing_is_fetched_where_the_tasks_are_others_or_are_here(machine, plays_v1, arguments, variable):
    machine.variables["TAU_BENCH_PATH"] = variable
    assert machine.run(*arguments).returncode == 0
    assert not any(call.startswith("git ") for call in machine.calls())


@pytest.mark.parametrize("fetch", ["exit 1", "true"])
def test_without_the_tasks_of_v1_nothing_is_installed(machine, plays_v1, fetch):
    plays_v1(fetch)
    result = machine.run()
    assert result.returncode == 1 and result.stdout == ""
    assert "TAU_BENCH_PATH" in result.stderr and "task_source=tau2" in result.stderr
    assert [call for call in machine.calls() if not call.startswith("git ")] == []


@pytest.mark.parametrize(
    ("version", "submodule", "variable"),
    [
        ("1.0", "tau2-bench", "TAU2_BENCH_PATH"),
        ('"1.0"  # the newest', "tau2-bench", "TAU2_BENCH_PATH"),
        ("verified", "tau2-bench-verified", "TAU2_BENCH_VERIFIED_PATH"),
    ],
)
def test_a_newer_version_of_tau2_is_fetched_on_any_machine(machine, version, submodule, variable):
    machine.add_config("tau_retail_local", f"engine: local\ntask_source: tau2\ntask_version: {version}\n")
    fetch = f"mkdir -p '{machine.project / submodule / 'src' / 'tau2'}'"
    machine.add_program("git", GIT.format(calls=machine.notes / "calls", fetch=fetch))
    result = machine.run("--setup-only")
    assert result.returncode == 0
    (fetched,) = [call for call in machine.calls() if call.startswith("git ")]
    assert fetched.endswith(f" submodule --quiet update --init {submodule}")
    machine.run("--setup-only")
    assert sum(call.startswith("git ") for call in machine.calls()) == 1


def test_a_version_on_the_command_line_counts_and_a_checkout_spares_the_fetching(machine):
    machine.add_config("tau_retail_local", "engine: local\ntask_source: tau2\ntask_version: null\n")
    machine.add_program("git", GIT.format(calls=machine.notes / "calls", fetch="exit 1"))
    result = machine.run("task_version=1.0")
    assert result.returncode == 1
    assert "TAU2_BENCH_PATH" in result.stderr and "task_version=0.2" in result.stderr
    machine.variables["TAU2_BENCH_PATH"] = "a/checkout"
    assert machine.run("task_version=1.0").returncode == 0
    assert machine.run().returncode == 0


def test_each_package_of_roll_is_installed_once(machine):
    machine.add_gpus(1)
    machine.add_config("tau_retail_1gpu")
    machine.run("--setup-only")
    parts = [(machine.project / ".venv-roll" / name).read_text() for name in ("with-dependencies.txt", "alone.txt")]
    assert "".join(parts) == (machine.project / "requirements-roll.txt").read_text()
    pinned = "-e git+https://github.com/alibaba/ROLL.git@8eb27cc2dc34c4d1310b169d9b86d339004d811a#egg=roll"
    assert pinned in parts[1] and "trl==0.9.6" in parts[1] and "vllm" in parts[0]


@pytest.mark.parametrize(
    ("text", "arguments", "backend"),
    [
        ("engine: roll\n", ["train=megatron"], "megatron"),
        ("engine: roll\n", ["train=deepspeed"], "deepspeed"),
        ("engine: roll\n", ["infer=sglang"], "sglang"),
        ("defaults:\n  - infer: vllm\n  - train: megatron\nengine: roll\n", [], "megatron"),
        ("defaults:\n  - infer: sglang\n  - train: fsdp2\nengine: roll\n", [], "sglang"),
        ("engine: roll\nactor_train:\n  strategy_args:\n    strategy_name: deepspeed_train\n", [], "deepspeed"),
    ],
)
def test_a_backend_has_an_environment_of_its_own_for_who_asks_for_it(machine, text, arguments, backend):
    machine.add_gpus(1)
    machine.add_config("mine", text)
    if backend != "megatron":  # of which runs on GPUs are recorded
        refused = machine.run("--config-name", "mine", *arguments)
        assert refused.returncode == 2 and machine.calls() == []
        assert f"error: no run with {backend} is recorded" in refused.stderr
        assert "TAU_RETAIL_UNPROVEN=1" in refused.stderr
        machine.variables["TAU_RETAIL_UNPROVEN"] = "1"
    assert machine.run("--config-name", "mine", *arguments).returncode == 0
    assert machine.is_set_up(f".venv-roll-{backend}")
    assert not machine.is_set_up(".venv-roll") and not machine.is_set_up(".venv")


@pytest.mark.parametrize("argument", ["train=deepspeed", "infer=sglang"])
@pytest.mark.parametrize("gpus", [0, 1])
@pytest.mark.parametrize("options", [[], ["--setup-only"], ["--print-config"]])
def test_a_backend_without_a_recorded_run_is_refused_on_any_machine(machine, argument, gpus, options):
    machine.add_config("mine")
    if gpus:
        machine.add_gpus(gpus)
    result = machine.run("--config-name", "mine", argument, *options)
    assert (result.returncode, machine.calls()) == (2, [])
    assert f"error: no run with {argument.partition('=')[2]} is recorded" in result.stderr
    assert not list(machine.project.glob(".venv*"))
    machine.variables["TAU_RETAIL_UNPROVEN"] = "1"
    assert machine.run("--config-name", "mine", argument, *options).returncode == 0


def test_overrides_bring_the_usual_environment_back(machine):
    machine.add_gpus(1)
    machine.add_config("mine", "defaults:\n  - infer: sglang\n  - train: megatron\nengine: roll\n")
    assert machine.run("--config-name", "mine", "train=fsdp2", "infer=vllm").returncode == 0
    assert machine.is_set_up(".venv-roll")


@pytest.mark.parametrize("gpus", [0, 1])
def test_two_backends_that_exclude_each_other_are_refused_before_anything_is_installed(machine, gpus):
    if gpus:
        machine.add_gpus(gpus)
    machine.add_config("tau_retail_1gpu")
    result = machine.run("--config-name", "tau_retail_1gpu", "train=megatron", "infer=sglang")
    assert result.returncode == 2
    assert "error: train=megatron with infer=sglang: no environment has both" in result.stderr
    assert machine.calls() == []


def packages(text: str) -> dict[str, str]:
    """The lines of a list that install something, by the package that they name."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {re.match(r"(?:-e .*#egg=)?([\w-]+)", line)[1]: line for line in lines}


@pytest.mark.parametrize("backend", ["deepspeed", "megatron", "sglang"])
def test_a_backend_replaces_what_it_wants_otherwise_and_leaves_the_rest(machine, backend):
    machine.variables["TAU_RETAIL_UNPROVEN"] = "1"
    machine.add_gpus(1)
    machine.add_config("tau_retail_1gpu")
    machine.run("--setup-only", "--config-name", "tau_retail_1gpu", f"{ARGUMENTS[backend]}={backend}")
    folder = machine.project / f".venv-roll-{backend}"
    lists = (folder / "with-dependencies.txt", folder / "alone.txt")
    common = packages((machine.project / "requirements-roll.txt").read_text())
    own = packages((machine.project / f"requirements-roll-{backend}.txt").read_text())
    installed = [line for path in lists for line in packages(path.read_text()).values()]
    assert sorted(installed) == sorted((common | own).values())
    assert not packages(lists[0].read_text()).keys() & packages(lists[1].read_text()).keys()


@pytest.mark.parametrize(
    ("gpus", "text", "arguments", "environment"),
    [
        (1, "engine: local\n", [], ".venv"),
        (1, "engine: roll\n", [], ".venv-roll"),
        (1, "engine: roll  # or auto\n", [], ".venv-roll"),
        (1, "engine: auto\n", [], ".venv"),
        (1, "defaults:\n  - infer: vllm\nengine: auto\n", [], ".venv-roll"),
        (1, "engine: auto\n", ["engine=roll"], ".venv-roll"),
        (1, "engine: roll\n", ["engine=local"], ".venv"),
        (1, "engine: roll\n", ["--print-config"], ".venv"),
        (0, "engine: roll\n", [], ".venv"),
    ],
)
def test_the_environment_is_that_of_the_engine_that_is_named(machine, gpus, text, arguments, environment):
    if gpus:
        machine.add_gpus(gpus)
    machine.add_config("mine", text)
    assert machine.run("--config-name", "mine", *arguments).returncode == 0
    other = {".venv": ".venv-roll", ".venv-roll": ".venv"}[environment]
    assert machine.is_set_up(environment) and not machine.is_set_up(other)


def test_a_failed_install_of_roll_is_repaired_by_the_same_command(machine):
    machine.add_gpus(1)
    machine.add_config("tau_retail_1gpu")
    (machine.notes / "pip-fails").touch()
    result = machine.run()
    assert result.returncode == 1 and ".venv-roll/setup.log" in result.stderr
    (machine.notes / "pip-fails").unlink()
    assert machine.run().returncode == 0
    before = machine.calls()
    assert machine.run().returncode == 0
    assert machine.calls() == before


def test_a_cuda_torch_that_is_there_is_kept(machine):
    machine.add_gpus(1)
    assert machine.run("--setup-only").returncode == 0
    venv, requirements, *_ = machine.calls()
    assert "--system-site-packages" in venv
    assert "-c" in requirements
    assert "requirements.txt" in requirements
    assert (machine.project / ".venv" / "torch-version.txt").read_text() == "torch==2.9.0+cu128\n"


@pytest.mark.parametrize(("version", "is_kept"), [("2.13.0+cpu", True), ("2.13.0", True), ("2.12.1", False)])
def test_without_a_gpu_a_torch_of_the_wanted_version_is_kept(machine, version, is_kept):
    modules = machine.notes / "modules"
    (modules / "torch.py").write_text(f'__version__ = "{version}"\n')
    (modules / "torch-1.dist-info").mkdir()
    (modules / "torch-1.dist-info" / "METADATA").write_text(f"Name: torch\nVersion: {version}\n")
    result = machine.run("--setup-only")
    assert result.returncode == 0
    assert ("--system-site-packages" in machine.calls()[0]) == is_kept
    assert ("the torch of this Python is kept" in result.stderr) == is_kept
    pinned = (machine.project / ".venv" / "torch-version.txt").read_text()
    assert pinned == f"torch=={version if is_kept else '2.13.0'}\n"


@pytest.mark.parametrize(
    ("version", "needed", "address", "words"),
    [
        ("2.13.0", ["cuda-toolkit==13.0.3"], "https://pypi.example/torch.whl", "2.5 GB to download"),
        ("2.13.0+cpu", ["numpy"], "file:///wheels/torch.whl", "the build for the CPU, from /wheels/torch.whl"),
    ],
)
def test_what_is_downloaded_and_whereto_is_said_before_it_is(machine, version, needed, address, words):
    about = {"version": version, "requires_dist": needed}
    report = {"install": [{"metadata": about, "download_info": {"url": address}}]}
    (machine.notes / "pip-report").write_text(json.dumps(report))
    (machine.notes / "pip-fails").touch()
    told = machine.run("--setup-only").stderr
    assert words in told
    assert f"{machine.project / '.venv'} gets torch and the " in told and "are free there" in told
    assert told.index("gets torch") < told.index(words) < told.index("[set-up] torch 2.13.0 ... failed")


def test_the_tests_script_checks_style_and_types_then_runs_pytest(machine):
    result = machine.run(script="run_tests.sh")
    started = [line.removeprefix("started: ") for line in result.stdout.splitlines() if line.startswith("started")]
    assert [line.split()[1] for line in started] == ["ruff", "ruff", "mypy", "pytest"]
    assert len([call for call in machine.calls() if "requirements-dev.txt" in call]) == 1


@pytest.mark.parametrize(("arguments", "chosen"), [([], " -m not slow"), (["--slow"], "")])
def test_the_tests_script_leaves_out_slow_tests_unless_it_is_asked(machine, arguments, chosen):
    result = machine.run(*arguments, script="run_tests.sh")
    assert "started: -m ruff" in result.stdout
    assert result.stdout.splitlines()[-1] == f"started: -m pytest -n 2 --dist loadfile{chosen}"


@pytest.mark.parametrize("module", ["ruff", "mypy", "pytest"])
def test_one_check_that_fails_stops_no_other_and_fails_the_whole(machine, module):
    (machine.notes / f"{module}-fails").touch()
    result = machine.run(script="run_tests.sh")
    assert result.returncode == 1
    assert module in result.stderr
    assert "started: -m pytest" in result.stdout


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_the_tests_script_says_what_it_takes_and_sets_nothing_up(machine, word):
    result = machine.run(word, script="run_tests.sh")
    assert result.returncode == 0
    assert result.stdout.startswith("Usage: ./run_tests.sh [--slow | ")
    assert machine.calls() == []


def test_the_tests_script_passes_arguments_to_pytest_alone(machine):
    machine.run(script="run_tests.sh")
    before = machine.calls()
    result = machine.run("tests/cli/test_main.py", "-k", "a or b", script="run_tests.sh")
    assert result.stdout.splitlines()[-1] == "started: -m pytest tests/cli/test_main.py -k a or b"
    assert "ruff" not in result.stdout
    assert machine.calls() == before


def test_every_dependency_of_the_package_is_pinned(repository):
    def key(name: str) -> str:
        return re.split(r"[<>=\[;]", name)[0].strip().lower().replace("_", "-")

    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (repository / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    wanted = {key(name) for name in [*project["dependencies"], *project["optional-dependencies"]["train"]]}
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in pins)
    assert wanted - {key(pin) for pin in pins} == {"torch"}


def test_no_list_names_a_package_that_only_shares_its_name_with_rolls(repository):
    """PyPI's `roll` and `mcore-adapter` are other people's."""
    for path in repository.glob("requirements*.txt"):
        for line in path.read_text(encoding="utf-8").splitlines():
            name = re.split(r"[<>=\[; @]", line)[0].lower().replace("_", "-")
            assert name not in ("roll", "mcore-adapter") or " @ git+https://" in line
