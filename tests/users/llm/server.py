"""A real HTTP server in the test process that speaks OpenAI's chat API, and fails as it is told."""

from __future__ import annotations

import email.utils
import gzip
import itertools
import json
import random
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

RETRYABLE = (
    "429",
    "429_retry_after",
    "429_date",
    "500",
    "503",
    "hang",
    "half_body",
    "wrong_json",
    "no_choices",
    "closed",
    "slow_tokens",
    "empty",
)
"""Faults after which another attempt helps."""
FINAL = ("401", "403", "404", "400", "402")
"""Faults after which none does."""


@dataclass(frozen=True)
class Request:
    """One request as it came in."""

    order: int
    """Place among all chat requests, from 0."""
    body: Mapping[str, Any]
    """The parsed body."""
    headers: Mapping[str, str]
    """By lower-case names."""
    fault: str | None
    """What the plan made of it."""

    @property
    def messages(self) -> list[dict[str, Any]]:
        return list(self.body["messages"])


Reply = Callable[[Request], str | Mapping[str, Any]]
Plan = Callable[[int], str | None]


def script(faults: Sequence[str | None]) -> Plan:
    """The faults of the first requests, in order; none after them."""
    return lambda order: faults[order] if order < len(faults) else None


def always(fault: str) -> Plan:
    """The same fault for every request."""
    return lambda order: fault


def seeded(rate: float, seed: int, kinds: Sequence[str] = RETRYABLE) -> Plan:
    """A fault for this part of the requests, which ones by the seed alone."""

    def plan(order: int) -> str | None:
        draw = random.Random(f"{seed}/{order}")
        return draw.choice(list(kinds)) if draw.random() < rate else None

    return plan


@dataclass
class ChatServer:
    """The server; a context manager: within it `base_url` answers.

    Every word counts as one token. `plan` and `reply` may be changed while it runs.
    """

    reply: Reply = lambda request: f"reply {request.order}"
    """What the model says, a text or the members of a message; called by one thread for each request."""
    plan: Plan = lambda order: None
    """The fault of a chat request, by its place among all."""
    models: Sequence[str] | None = ("tiny", "small")
    """What /models lists; None: the server has no such page."""
    hides_models: bool = False
    """Whether /models answers 403, as for a key that may chat only."""
    key: str | None = None
    """The key that it asks for; None takes any."""
    under: str = ""
    """What stands before /v1 in its paths, such as /gateway/sk-1, as of a gateway that takes a key there."""
    finish_reason: str = "stop"
    """Why the model ended, as answers say that do not stream."""
    latency_s: float = 0.0
    """Seconds before an answer without fault."""
    slow_s: float = 0.5
    """Seconds that the body of slow_tokens takes."""
    retry_after_s: float = 0.05
    """What 429_retry_after asks for; 429_date asks for the next full second."""
    redirects_to: str = ""
    """Where a redirect leads."""
    cost_usd: float | None = None
    """Reported as usage.cost; None reports none."""
    reports_usage: bool = True
    """Whether answers carry usage at all."""
    usage: Mapping[str, Any] = field(default_factory=dict)
    """What it reports in place of what it counted."""
    requests: list[Request] = field(default_factory=list)
    """Chat requests so far, in the order of their arrival."""
    most_at_once: int = 0
    """Most chat requests that were under way at the same time."""
    connections: int = 0
    """TCP connections so far."""

    def __enter__(self) -> ChatServer:
        self._order = itertools.count()
        self._alone = threading.Lock()
        self._at_once = 0
        self.closing = threading.Event()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, port: int = 0) -> None:
        """Listen; on the port of before, to come back after a `stop`."""
        self.closing.clear()
        server = _Server(("127.0.0.1", port), _handler(self))
        self._server = server
        self.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        """Refuse connections from now on, and drop those there are."""
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._server.drop_connections()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.under}/v1"

    def fault_counts(self) -> dict[str, int]:
        """How often each fault has been served."""
        faults = [request.fault for request in self.requests if request.fault]
        return {fault: faults.count(fault) for fault in sorted(set(faults))}

    def note(self, body: Mapping[str, Any], headers: Mapping[str, str]) -> Request:
        with self._alone:
            order = next(self._order)
            request = Request(order, body, headers, self.plan(order))
            self.requests.append(request)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        return request

    def done(self) -> None:
        with self._alone:
            self._at_once -= 1


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512
    allow_reuse_address = True

    def __init__(self, *arguments: Any) -> None:
        self.open_sockets: set[socket.socket] = set()
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.open_sockets.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.open_sockets.discard(request)
        super().shutdown_request(request)

    def drop_connections(self) -> None:
        for connection in list(self.open_sockets):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that leave early are meant to."""


def _handler(server: ChatServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            server.connections += 1
            super().setup()

        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            if not self._is_allowed():
                return
            if server.hides_models:
                self._error(403, "Missing scopes: api.model.read")
                return
            if self.path != f"{server.under}/v1/models" or server.models is None:
                self._error(404, "no such page")
                return
            data = [{"id": name, "object": "model"} for name in server.models]
            self._send(200, json.dumps({"object": "list", "data": data}).encode())

        def do_POST(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length))
            if not self._is_allowed():
                return
            if self.path != f"{server.under}/v1/chat/completions":
                self._error(404, "no such page")
                return
            request = server.note(body, {name.lower(): value for name, value in self.headers.items()})
            try:
                self._answer(request)
            finally:
                server.done()

        def _answer(self, request: Request) -> None:
            if server.models is not None and request.body["model"] not in server.models:
                self._error(404, f"The model `{request.body['model']}` does not exist.", code="model_not_found")
            elif request.fault is None or request.fault in ("empty", "slow_tokens", "half_body"):
                server.closing.wait(server.latency_s)
                text = "" if request.fault == "empty" else server.reply(request)
                (self._stream if request.body.get("stream") else self._whole)(request, text)
            else:
                self._fail(request.fault)

        def _whole(self, request: Request, said: str | Mapping[str, Any]) -> None:
            usage = _usage(server, request, said if isinstance(said, str) else json.dumps(said))
            message = {"role": "assistant", **({"content": said} if isinstance(said, str) else said)}
            choice = {"index": 0, "message": message, "finish_reason": server.finish_reason}
            completion = {"id": f"chat-{request.order}", "object": "chat.completion", "choices": [choice]}
            body = json.dumps(completion | {"model": request.body["model"]} | usage).encode()
            if request.fault == "half_body":
                self._half(body)
            elif request.fault == "slow_tokens":
                self._head(200, len(body), {})
                for part in _parts(body, 10):
                    if server.closing.wait(server.slow_s / 10):
                        return
                    self._write(part)
            else:
                self._send(200, body)

        def _stream(self, request: Request, text: str) -> None:
            pause_s = server.slow_s / 10 if request.fault == "slow_tokens" else 0.0
            deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
            deltas += [{"content": part} for part in _words(text)] or [{}]
            chunks = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
            chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
            if (request.body.get("stream_options") or {}).get("include_usage"):
                chunks.append({"choices": [], **_usage(server, request, text)})
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for place, chunk in enumerate(chunks):
                if request.fault == "half_body" and place == len(chunks) // 2:
                    self.close_connection = True
                    return
                server.closing.wait(pause_s)
                named = {"id": f"chat-{request.order}", "object": "chat.completion.chunk", "model": "tiny"}
                self._chunk(f"data: {json.dumps(named | chunk)}\n\n".encode())
            self._chunk(b"data: [DONE]\n\n")
            self._chunk(b"")

        def _fail(self, fault: str) -> None:
            if fault == "hang":
                self._hang()
            elif fault == "closed":
                self.close_connection = True
            elif fault == "wrong_json":
                self._send(200, b'{"choices": [{"message": {"content": "half a')
            elif fault == "no_choices":
                self._send(200, b'{"object": "chat.completion", "choices": []}')
            elif fault == "deep":
                self._send(200, b'{"choices": ' + b"[" * 100_000 + b"]" * 100_000 + b"}")
            elif fault == "long":
                self._send(200, b'{"choices": [{"message": {"content": "' + b"a" * 3_000_000 + b'"}}]}')
            elif fault == "huge":
                self._send(200, b'{"choices": [{"message": {"content": "' + b"a" * 20_000_000 + b'"}}]}')
            elif fault == "long_error":
                self._send(500, b"a" * 3_000_000)
            elif fault == "packed":
                text = gzip.compress(b'{"choices": [{"message": {"content": "' + b"a" * 50_000_000 + b'"}}]}')
                self._send(200, text, {"Content-Encoding": "gzip"})
            elif fault == "redirect":
                self._send(307, b"", {"Location": f"{server.redirects_to}/chat/completions"})
            elif fault == "429_retry_after":
                self._error(429, "slow down", headers={"Retry-After": f"{server.retry_after_s:g}"})
            elif fault == "429_date":
                date = email.utils.formatdate(time.time() + 1, usegmt=True)
                self._error(429, "slow down", headers={"Retry-After": date})
            elif fault == "insufficient_quota":
                self._error(429, "You exceeded your quota", code="insufficient_quota")
            elif fault == "context_length_exceeded":
                self._error(400, "This model's maximum context length is 512 tokens", code=fault)
            elif fault in ("400_path", "500_path"):
                self._error(int(fault[:3]), f"cannot be answered: POST {self.path}", code=self.path)
            elif fault in ("401", "403"):
                self._error(int(fault), f"Incorrect API key provided: {self.headers.get('authorization')}")
            else:
                self._error(int(fault), "so it was planned")

        def _hang(self) -> None:
            """Say nothing until the client has gone."""
            self.close_connection = True
            while not server.closing.is_set():
                readable, _, _ = select.select([self.connection], [], [], 0.05)
                if readable:
                    return

        def _is_allowed(self) -> bool:
            given = self.headers.get("authorization", "")
            if server.key is None or given == f"Bearer {server.key}":
                return True
            self._error(401, f"Incorrect API key provided: {given}", code="invalid_api_key")
            return False

        def _error(
            self, status: int, message: str, code: str | None = None, headers: Mapping[str, str] | None = None
        ) -> None:
            body = json.dumps({"error": {"message": message, "type": "planned", "code": code, "param": None}})
            self._send(status, body.encode(), headers)

        def _send(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
            self._head(status, len(body), headers or {})
            self._write(body)

        def _half(self, body: bytes) -> None:
            self._head(200, len(body), {})
            self._write(body[: len(body) // 2])
            self.close_connection = True

        def _head(self, status: int, length: int, headers: Mapping[str, str]) -> None:
            self.send_response(status)
            plain = {"Content-Type": "application/json", "Content-Length": str(length)}
            for name, value in (plain | dict(headers)).items():
                self.send_header(name, value)
            self.end_headers()

        def _chunk(self, data: bytes) -> None:
            self._write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

        def _write(self, data: bytes) -> None:
            try:
                self.wfile.write(data)
            except OSError:
                self.close_connection = True

    return Handler


def _usage(server: ChatServer, request: Request, text: str) -> dict[str, Any]:
    if not server.reports_usage:
        return {}
    read = sum(len(str(message.get("content")).split()) for message in request.messages)
    said = len(text.split())
    usage: dict[str, Any] = {"prompt_tokens": read, "completion_tokens": said, "total_tokens": read + said}
    cost = {} if server.cost_usd is None else {"cost": server.cost_usd}
    return {"usage": usage | cost | dict(server.usage)}


def _parts(body: bytes, count: int) -> Iterator[bytes]:
    size = -(-len(body) // count)
    return (body[start : start + size] for start in range(0, len(body), size))


def _words(text: str) -> list[str]:
    """The text in pieces that give it again when joined."""
    return [word for part in text.split(" ") for word in (part, " ")][:-1]
