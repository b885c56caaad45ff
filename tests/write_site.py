"""Servers for tests of what sends events: a real ingest over a log in memory, and one that answers as it is told.

Both run in a thread of their own, so that blocking clients and other processes can talk to them.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ingest.app import create_app
from ingest.events import DecodedEvents, decode
from ingest.keys import KeyRing
from ingest.publish import MemoryPublisher, Message, Outcome, Undelivered
from ingest.registry import Registry
from ingest.service import HttpServer
from ingest.settings import IngestSettings
from tallyboard.kafka import free_port

PATIENCE_S = 20.0


def eventually(condition: Callable[[], object], what: str = "") -> None:
    """Wait until the condition holds, at most `PATIENCE_S`."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"not in time: {what or condition}"
        time.sleep(0.005)


class UnsureLog(MemoryPublisher):
    """Keeps what it is given, and says so many times that it does not know."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    async def publish(self, messages: Sequence[Message]) -> list[Outcome]:
        outcomes = await super().publish(messages)
        if not self.times:
            return outcomes
        self.times -= 1
        return [Undelivered(True, "no answer in time") for _ in messages]


@dataclass
class WriteSite:
    """An ingest on `port` whose log is `log`; `stop` and `start` make it go away and come back."""

    settings: IngestSettings = field(default_factory=IngestSettings)
    registry: Registry = field(default_factory=Registry)
    log: MemoryPublisher = field(default_factory=MemoryPublisher)
    keys: KeyRing | None = None
    port: int = field(default_factory=free_port)
    _server: HttpServer | None = None
    _thread: threading.Thread | None = None
    _loop: asyncio.AbstractEventLoop | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.log.away = None
        app = create_app(self.settings, self.registry, self.log, lambda: time.time_ns() // 1_000_000, self.keys)
        self._server = server = HttpServer(app, "127.0.0.1", self.port, drain_s=1, ws="none")
        self._thread = threading.Thread(target=self._serve, args=(server,))
        self._thread.start()
        eventually(lambda: server.started, "the server")

    def _serve(self, server: HttpServer) -> None:
        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            await server.serve()

        asyncio.run(serve())

    def stop(self) -> None:
        if self._server is not None and self._thread is not None and self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is over already
                self._loop.call_soon_threadsafe(self._server.stop)
            self._thread.join(PATIENCE_S)
            self._server = self._thread = None

    def events(self) -> list[dict[str, Any]]:
        """Every event of the log, repeated ones too."""
        found: list[dict[str, Any]] = []
        for (topic, _), records in sorted(self.log.records.items()):
            if topic == self.settings.topics.events:
                for record in records:
                    batch = decode(record.value)
                    assert isinstance(batch, DecodedEvents)
                    found += _events(batch)
        return found

    def ids(self) -> list[str]:
        return [event["id"] for event in self.events()]

    def dead(self) -> list[dict[str, Any]]:
        """Every rejected event of the log."""
        records = [
            r for (topic, _), rs in self.log.records.items() if topic == self.settings.topics.rejected for r in rs
        ]
        return [event for record in records for event in json.loads(record.value)["events"]]


def _events(batch: DecodedEvents) -> Iterator[dict[str, Any]]:
    for row in range(len(batch)):
        series = batch.series[int(batch.index[row])].as_py()
        text = None if batch.texts is None else batch.texts[row].as_py()
        yield {
            "metric": series["metric"],
            "dimensions": json.loads(series["dimensions"]),
            "timestamp": int(batch.times[row]),
            "value": float(batch.values[row]) if text is None else text,
            "id": None if batch.ids is None else batch.ids[row].as_py(),
        }


@contextlib.contextmanager
def write_site(**fields: Any) -> Iterator[WriteSite]:
    site = WriteSite(**fields)
    site.start()
    try:
        yield site
    finally:
        site.stop()


@dataclass(frozen=True)
class Reply:
    """One scripted answer; `how` is "answer", "reset" (the connection breaks) or "lost" (taken, then it breaks)."""

    status: int = 202
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    how: str = "answer"


@dataclass
class Request:
    """What a scripted server was sent."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.body.splitlines()]

    @property
    def ids(self) -> list[str]:
        return [event["id"] for event in self.events]


class Scripted(ThreadingHTTPServer):
    """Answers with `script`, one entry a request, then 202; an entry may be a function of the request."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, script: list[Reply | Callable[[Request], Reply]]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script = script
        self.requests: list[Request] = []
        self.may_answer = threading.Event()
        """Cleared, the server takes requests and says nothing."""
        self.may_answer.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that went away in the middle is what these tests are about


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Scripted

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        request = Request(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
        self.server.requests.append(request)
        self.server.may_answer.wait(PATIENCE_S)
        entry = self.server.script.pop(0) if self.server.script else Reply()
        reply = entry if isinstance(entry, Reply) else entry(request)
        if reply.how == "reset":
            self._reset()
            return
        content = accepted(len(request.body.splitlines())) if reply.body is None else reply.body
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _reset(self) -> None:
        """A connection reset: RST instead of FIN."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name is the base class's
        pass


def accepted(events: int) -> bytes:
    return json.dumps({"request_id": "r", "accepted": events, "rejected": 0, "errors": [], "position": ""}).encode()


def problem(status: int, code: str, **headers: str) -> Reply:
    """A request refused as a whole."""
    body = json.dumps({"status": status, "code": code, "detail": "not now"}).encode()
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


@contextlib.contextmanager
def scripted(*script: Reply | Callable[[Request], Reply]) -> Iterator[Scripted]:
    server = Scripted(list(script))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.may_answer.set()
        server.shutdown()
        socketserver.TCPServer.server_close(server)
        thread.join()
