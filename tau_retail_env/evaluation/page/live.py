"""The page of runs in progress, served to this machine alone; it reads on and sends the page what is new."""

from __future__ import annotations

import functools
import json
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.evaluation.page.document import document
from tau_retail_env.evaluation.page.report import Report
from tau_retail_env.evaluation.page.store import as_json, packed_text

ADDRESS = "127.0.0.1"
REFRESH_S = 2.0
"""Seconds between two looks at the runs; longer where a look takes long."""
ENDING_S = 0.05
"""Seconds within which the server ends when it is told to."""
RESTING = 5
"""How many times as long as a look takes the next one waits at least."""


class LiveReport:
    """A report that reads on, for threads that ask for its parts.

    Args:
        report: what was read so far.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._lock = threading.Lock()
        self._version = 0
        self._problem = ""
        self._index = b""
        self._look_s = 0.0
        self._build()

    @property
    def pause_s(self) -> float:
        """Seconds until the next look."""
        return max(REFRESH_S, RESTING * self._look_s)

    def look(self) -> None:
        """Take in what the runs have written since; the page shows that a record is damaged and keeps what it has."""
        began = time.monotonic()
        with self._lock:
            try:
                is_new, self._problem = self._report.read_on(), ""
            except InvalidValueError as error:
                is_new, self._problem = False, str(error)
            if is_new:
                self._build()
        self._look_s = time.monotonic() - began

    def part(self, name: str) -> bytes | None:
        """What the page asks for by name: "version", "index", "conversations-3", "tokens-0"; None for another name."""
        with self._lock:
            if name == "version":
                return json.dumps({"version": self._version, "problem": self._problem}).encode()
            if name == "index":
                return self._index
            kind, _, number = name.partition("-")
            stores = self._report.stores
            store = {"conversations": stores.conversations, "tokens": stores.tokens}.get(kind)
            if store is None or not number.isascii() or not number.isdigit() or int(number) >= len(store):
                return None
            return store.parcel(int(number))

    def _build(self) -> None:
        self._index = packed_text(as_json(self._report.index(self._report.rows())))
        self._version += 1


class LiveServer:
    """Serves a report on this machine's loopback address while it is used as a context.

    Args:
        report: what was read so far.
        port: 0 for any free one.

    Raises:
        InvalidValueError: the port is taken.
    """

    def __init__(self, report: Report, port: int = 0) -> None:
        self._live = LiveReport(report)
        self._page = "".join(document()).encode()
        self._is_over = threading.Event()
        try:
            self._server = ThreadingHTTPServer((ADDRESS, port), self._handler())
        except (OSError, OverflowError) as error:
            raise InvalidValueError(f"--port: {ADDRESS}:{port} cannot be served: {error}; name another one") from None
        self.address = f"{ADDRESS}:{self._server.server_port}"

    def __enter__(self) -> Self:
        """Begin to serve and to read on."""
        for work in (functools.partial(self._server.serve_forever, ENDING_S), self._read_on):
            threading.Thread(target=work, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End both."""
        self._is_over.set()
        self._server.shutdown()
        self._server.server_close()

    def _read_on(self) -> None:
        while not self._is_over.wait(self._live.pause_s):
            self._live.look()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            """Answers the page and its data to whoever opens the printed address."""

            def do_GET(self) -> None:
                """Answer one request."""
                kind, body = server.answer(self.path, self.headers.get("Host", ""))
                self.send_response(HTTPStatus.OK if body is not None else HTTPStatus.NOT_FOUND)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body or b"")))
                self.send_header("Cache-Control", "no-store")
                self.send_header("X-Content-Type-Options", "nosniff")
                self.send_header("Cross-Origin-Resource-Policy", "same-origin")
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing of requests."""

        return Handler

    def answer(self, path: str, host: str) -> tuple[str, bytes | None]:
        """What a request gets: the kind of its content, and None where there is nothing.

        Args:
            path: as it was asked.
            host: under which name the server was asked: another site's name may be made to point here.
        """
        # A foreign page whose name points to this machine (DNS rebinding) must not read runs.
        name, _, port = host.rpartition(":")
        if name not in (ADDRESS, "localhost") or f"{ADDRESS}:{port}" != self.address:
            return "text/plain", None
        if path == "/":
            return "text/html; charset=utf-8", self._page
        return "application/octet-stream", self._live.part(path.removeprefix("/data/"))


def serve(report: Report, port: int, say: Callable[[str], None]) -> None:
    """Serve a report until Ctrl-C.

    Args:
        report: what was read so far.
        port: 0 for any free one.
        say: prints the address.

    Raises:
        InvalidValueError: the port is taken.
    """
    with LiveServer(report, port) as server:
        try:
            say(f"http://{server.address}/ shows the runs, on this machine alone, as they go on; Ctrl-C ends it")
            while True:  # not an Event's wait, in which a second Ctrl-C is a RuntimeError
                time.sleep(REFRESH_S)
        except KeyboardInterrupt:
            say("ended")
