"""In which Python a stage runs, how it ends, and that it ends with the chain."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tau_retail_env.chain import processes
from tau_retail_env.chain.processes import python_for, run_stage
from tau_retail_env.chain.settings import Pythons
from tau_retail_env.errors import InvalidValueError, MissingDependencyError

NOWHERE = Path("no") / "such" / "python"


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine without environments of the project and without a GPU."""
    monkeypatch.setattr(processes, "_environment_python", lambda environment: NOWHERE)
    monkeypatch.setattr(processes, "has_gpu", lambda: False)
    return monkeypatch


def test_a_named_interpreter_is_taken_and_a_folder_means_its_python(tmp_path: Path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    assert python_for("sft", Pythons(local="python3")) == "python3"
    assert python_for("roll", Pythons(roll=str(tmp_path))) == str(tmp_path / "bin" / "python")
    with pytest.raises(InvalidValueError, match=r"pythons\.local: there is no ./none"):
        python_for("local", Pythons(local="./none"))


def test_the_projects_own_environment_comes_first_and_then_this_python(alone: pytest.MonkeyPatch, tmp_path: Path):
    alone.setattr(processes.importlib.util, "find_spec", lambda name: name == "trl" or None)
    assert python_for("sft", Pythons()) == sys.executable
    with pytest.raises(MissingDependencyError, match=r"needs ray, which neither .*\.venv-roll has: \./run_tau_retail"):
        python_for("roll", Pythons())
    own = tmp_path / "python"
    own.touch()
    alone.setattr(processes, "_environment_python", lambda environment: own)
    assert python_for("sft", Pythons()) == str(own)


def test_weights_play_where_vllm_is_if_there_is_a_gpu(alone: pytest.MonkeyPatch):
    pythons = Pythons(local="python-trl", roll="python-vllm")
    assert python_for("play", pythons) == "python-trl"
    alone.setattr(processes, "has_gpu", lambda: True)
    assert python_for("play", pythons) == "python-vllm"
    assert python_for("play", Pythons(local="a", roll="b", play="c")) == "c"


def test_a_stage_is_the_command_in_another_process_and_its_status_is_told():
    assert run_stage(sys.executable, ["--version"]) == 0
    assert run_stage(sys.executable, ["trian"]) == 2


def chain_of(folder: Path, stage: str, sigint: str = "signal.default_int_handler") -> subprocess.Popen[bytes]:
    """A process that runs one stage, a program of ours in the package's place."""
    package = folder / "stand_in" / "tau_retail_env"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(stage)
    program = textwrap.dedent(
        f"""
        import signal
        from pathlib import Path
        from tau_retail_env.chain import processes
        from tau_retail_env.runs.interruption import terminate
        signal.signal(signal.SIGINT, {sigint})
        signal.signal(signal.SIGTERM, terminate)
        processes.PACKAGE_FOLDER = Path({str(package)!r})
        processes.run_stage({sys.executable!r}, [])
        """
    )
    return subprocess.Popen([sys.executable, "-c", program], cwd=folder, env=os.environ | {"PYTHONPATH": os.getcwd()})


def test_every_ctrl_c_is_handed_on_until_the_stage_has_ended(tmp_path: Path):
    stage = textwrap.dedent(
        """
        import pathlib, signal, sys, time
        def heard(*_):
            with open("heard", "a") as file:
                file.write("x")
            if pathlib.Path("heard").read_text() == "xx":
                time.sleep(0.5)  # the chain waits for it
                pathlib.Path("ended").touch()
                sys.exit(130)
        signal.signal(signal.SIGINT, heard)
        pathlib.Path("ready").touch()
        time.sleep(60)
        """
    )
    chain = chain_of(tmp_path, stage)
    wait_until((tmp_path / "ready").exists)
    chain.send_signal(signal.SIGINT)
    wait_until((tmp_path / "heard").exists)
    chain.send_signal(signal.SIGINT)
    assert chain.wait(30) != 0
    assert (tmp_path / "ended").exists()


def test_in_the_background_of_a_shell_which_ignores_ctrl_c_sigterm_ends_the_stage_too(tmp_path: Path):
    stage = textwrap.dedent(
        """
        import pathlib, signal, sys, time
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        def heard(*_):
            time.sleep(0.5)  # the chain waits for it
            pathlib.Path("ended").touch()
            sys.exit(143)
        signal.signal(signal.SIGTERM, heard)
        pathlib.Path("ready").touch()
        time.sleep(60)
        """
    )
    chain = chain_of(tmp_path, stage, "signal.SIG_IGN")
    wait_until((tmp_path / "ready").exists)
    chain.send_signal(signal.SIGTERM)
    assert chain.wait(30) == 143
    assert (tmp_path / "ended").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells a child that its parent has died")
def test_a_stage_ends_with_a_chain_that_was_killed(tmp_path: Path):
    wait = "import os, time, pathlib; pathlib.Path('pid').write_text(str(os.getpid())); time.sleep(60)"
    chain = chain_of(tmp_path, wait)
    pid = tmp_path / "pid"
    wait_until(lambda: pid.is_file() and pid.read_text())
    chain.send_signal(signal.SIGKILL)
    chain.wait()
    wait_until(lambda: not Path(f"/proc/{pid.read_text()}").exists())


def wait_until(holds) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)
