"""A server as a child process: started, waited for, and stopped with everything that it started."""

from __future__ import annotations

import errno
import http.client
import ipaddress
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from tau_retail_env.errors import InvalidValueError, TauRetailError
from tau_retail_env.models.vllm_kernels import kept_kernels

POLL_S = 0.2
"""Seconds between two looks whether the server is ready, and between two whether the child lives."""
REQUEST_S = 5.0
"""Seconds that an answer of the server may take while it starts."""
STOPPING_S = 30.0
"""Seconds that the child has to end after the first signal; then, and at a second signal, it is killed."""
ENVIRONMENT = {"VLLM_USE_FLASHINFER_SAMPLER": "0", "VLLM_NO_USAGE_STATS": "1"}
"""What the child gets where the shell does not set it. FlashInfer's sampler is compiled at the first start: 110 s on an
H200, with CUDA's compiler."""
LAST_LINES = 20
"""Lines of the log that an error shows."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ALL_INTERFACES = ("", "0.0.0.0", "::")
LAST_PORT = 65535
UNAUTHORISED = 401


class ServerError(TauRetailError):
    """The server did not get ready."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server listens."""

    host: str
    """A name or an address; 0.0.0.0 for all interfaces."""
    port: int
    """A port; never 0."""

    @classmethod
    def free(cls, host: str, port: int) -> Address:
        """The address, where it is free.

        Args:
            host: where to bind.
            port: the port; 0 for one that is free.

        Raises:
            InvalidValueError: the port is taken, or no such address is this machine's.
        """
        if port > LAST_PORT:
            raise InvalidValueError(f"--host {host} --port {port}: ports go up to {LAST_PORT}")
        try:
            family, kind, protocol, _, where = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(where)
                return cls(host, probe.getsockname()[1])
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise InvalidValueError(
                    f"--port: {port} is taken on {host}; give another one, or 0 for one that is free"
                ) from None
            raise InvalidValueError(f"--host {host} --port {port}: cannot be bound: {error}") from None

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def url(self) -> str:
        """Where this machine reaches it, without a path."""
        host = "127.0.0.1" if self.host in ALL_INTERFACES else self.host
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


def serve(
    command: Sequence[str], address: Address, *, log: Path, timeout_s: float, ready: Callable[[Sequence[str]], None]
) -> int:
    """Run a server until it ends or a signal comes; to be called in the main thread.

    The child is the head of a session of its own, so that Ctrl-C reaches it once, from here. The first signal is
    passed on to all of its processes; a second one, or `STOPPING_S` seconds, kill them.

    Args:
        command: what to start.
        address: where it will listen.
        log: file for what it prints, written anew.
        timeout_s: seconds that it has to get ready.
        ready: called once with the names of its models; with none where it asks for a key.

    Returns:
        The child's exit status; 128 and the signal's number where a signal ended it.

    Raises:
        ServerError: it ended before it was ready, or was not ready in time; the message ends with its last lines.
    """
    process = _Process(_started(command, log))
    try:
        with process.passing_signals_on():
            models = process.wait_until_ready(address, log, timeout_s)
            if models is not None:
                ready(models)
            return process.wait()
    finally:
        process.kill()


@contextmanager
def serving(command: Sequence[str], address: Address, *, log: Path, timeout_s: float = 1800.0) -> Iterator[list[str]]:
    """A server beside the work of this process, ended with everything that it started when the work is over.

    Args:
        command: what to start.
        address: where it will listen.
        log: file for what it prints, written anew.
        timeout_s: seconds that it has to get ready.

    Yields:
        The names of its models; none where it asks for a key.

    Raises:
        ServerError: it ended before it was ready, or was not ready in time; the message ends with its last lines.
    """
    process = _Process(_started(command, log))
    try:
        yield list(process.wait_until_ready(address, log, timeout_s) or ())
    finally:
        process.end()


def _started(command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """The child, head of a session of its own."""
    log.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        try:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**ENVIRONMENT, **kept_kernels(), **os.environ},
            )
        except OSError as error:
            raise ServerError(f"{command[0]} cannot be started: {error.strerror}") from None
    return child


class _Process:
    """The child and its descendants, which are one process group."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self._child = child
        self._stopping_since: float | None = None

    @contextmanager
    def passing_signals_on(self) -> Iterator[None]:
        before = {number: signal.signal(number, self._pass_on) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def wait_until_ready(self, address: Address, log: Path, timeout_s: float) -> Sequence[str] | None:
        """The names of the server's models; None where a signal came first."""
        end = time.monotonic() + timeout_s
        while self._stopping_since is None:
            if self._child.poll() is not None:
                raise ServerError(f"The server ended before it was ready (status {self._status()}).{_end_of(log)}")
            if (models := _models(address.url)) is not None:
                return models
            if time.monotonic() > end:
                raise ServerError(
                    f"The server was not ready within {timeout_s:g} s and was stopped; --timeout gives it longer."
                    f"{_end_of(log)}"
                )
            time.sleep(POLL_S)
        return None

    def wait(self) -> int:
        """Wait for the child's end; kill it where it does not end after a signal."""
        while True:
            try:
                self._child.wait(POLL_S)
                return self._status()
            except subprocess.TimeoutExpired:
                since = self._stopping_since
                if since is not None and time.monotonic() > since + STOPPING_S:
                    self.kill()

    def end(self) -> None:
        """Ask the child to end; kill it where it does not within `STOPPING_S` seconds."""
        self._send(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(STOPPING_S)
        self.kill()

    def kill(self) -> None:
        """Kill what is left of the process group, and the child for certain."""
        self._send(signal.SIGKILL)
        self._child.wait()

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        self._send(signal.SIGKILL if self._stopping_since is not None else _as_known(number))
        self._stopping_since = self._stopping_since or time.monotonic()

    def _send(self, number: int) -> None:
        try:
            os.killpg(self._child.pid, number)
        except (ProcessLookupError, PermissionError):
            return

    def _status(self) -> int:
        status = self._child.returncode
        return status if status >= 0 else 128 - status  # as a shell has it: 128 + the signal


def _as_known(number: int) -> int:
    """The signal that servers know as the end: a closed terminal is a wish to stop."""
    return signal.SIGTERM if number == signal.SIGHUP else number


def _models(url: str) -> Sequence[str] | None:
    """The names of the models that a healthy server has, none where it asks for a key; None while it is not ready."""
    if _page(f"{url}/health") is None or (page := _page(f"{url}/v1/models")) is None:
        return None
    try:
        return [str(row["id"]) for row in json.loads(page or b"{}").get("data", ())]
    except (ValueError, AttributeError, KeyError, TypeError):
        return None


def _page(url: str) -> bytes | None:
    """A page, empty where a key is asked for; None where there is no good answer.

    Proxies of the environment are not for a server on this machine.
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=REQUEST_S) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        return b"" if error.code == UNAUTHORISED else None
    except (OSError, ValueError, http.client.HTTPException):
        return None


def _end_of(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:]
    return "".join(f"\n  {line}" for line in [f"The end of its log {log}:", *lines]) if lines else f" Its log is {log}."
