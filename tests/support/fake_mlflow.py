"""MLflow server with injected faults: a proxy on loopback in front of a real server, or in front of nothing.

`FakeMlflow.fault` chooses the fault of each request. The real server is a separate process on SQLite, which can
be killed and started again.
"""

from __future__ import annotations

import http.client
import http.server
import os
import signal
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from tracking.mlflow import server

Fault = Literal["reset", "hang", "drop", "cut", "fail after"] | int
"""What happens to a request.

reset       the connection breaks before the server sees the request
503, ...    an answer with this status; the server does not see the request
hang        no answer; the server sees the request when `FakeMlflow.release` is called
drop        the server does the work; the connection breaks without an answer
cut         the server does the work; the connection breaks in the middle of the answer
fail after  the server does the work; the answer is status 500
"""
_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "server", "date"}


@dataclass(frozen=True)
class Request:
    """A request as it came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def __str__(self) -> str:
        """Return the method and the path without a query."""
        return f"{self.method} {urlsplit(self.path).path}"


class FakeMlflow:
    """The proxy.

    Attributes:
        fault: called before each request; None passes it on.
        requests: all that came in.
    """

    def __init__(self, upstream: str | None = None) -> None:
        """Listen on a free port; requests go to the server at `upstream`, or are answered with 502."""
        self._upstream = urlsplit(upstream).netloc if upstream else None
        self.fault: Callable[[Request], Fault | None] = lambda request: None
        self.requests: list[Request] = []
        self._held: list[Request] = []
        self._released = threading.Event()
        self._connections: set[socket.socket] = set()
        self._listen(0)

    @property
    def address(self) -> str:
        """Return the address for `MLFLOW_TRACKING_URI`."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def held(self) -> int:
        """Return how many requests hang."""
        return len(self._held)

    def release(self) -> None:
        """Let the server see the requests that hang; their answers are lost."""
        held, self._held = self._held, []
        for request in held:
            self._forward(request)
        self._released.set()
        self._released = threading.Event()

    def leave(self) -> None:
        """Stop listening, so that connections are refused, and break open ones."""
        self._server.shutdown()
        self._server.server_close()
        for connection in list(self._connections):
            _reset(connection)
        self._thread.join()

    def come_back(self) -> None:
        """Listen again on the same port."""
        self._listen(self._port)

    def close(self) -> None:
        """End the proxy."""
        self._released.set()
        self.leave()

    def _listen(self, port: int) -> None:
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                fake._handle(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815

            def log_message(self, *arguments: object) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *arguments: object) -> None:
                pass

        self._server = Server(("127.0.0.1", port), Handler)
        self._port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def _handle(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        connection = handler.connection
        self._connections.add(connection)
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        headers = {name: value for name, value in handler.headers.items() if name.lower() not in {*_HOP, "host"}}
        request = Request(handler.command, handler.path, headers, body)
        self.requests.append(request)
        fault = self.fault(request)
        if fault == "reset":
            _reset(connection, handler)
        elif fault == "hang":
            released = self._released
            self._held.append(request)
            released.wait()
            _reset(connection, handler)
        elif isinstance(fault, int):
            _answer(handler, fault, {"Content-Type": "application/json"}, b'{"error_code": "TEMPORARILY_UNAVAILABLE"}')
        else:
            status, said, content = self._forward(request)
            if fault == "drop":
                _reset(connection, handler)
            elif fault == "cut":
                _answer(handler, status, said, content, most=len(content) // 2)
                _reset(connection, handler)
            elif fault == "fail after":
                _answer(handler, 500, {"Content-Type": "application/json"}, b'{"error_code": "INTERNAL_ERROR"}')
            else:
                _answer(handler, status, said, content)

    def _forward(self, request: Request) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and content of the server's answer."""
        if self._upstream is None:
            return 502, {}, b"nobody there"
        upstream = http.client.HTTPConnection(self._upstream, timeout=60)
        try:
            upstream.request(request.method, request.path, request.body, request.headers)
            answer = upstream.getresponse()
            said = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP}
            return answer.status, said, answer.read()
        except OSError:
            return 502, {}, b"nobody there"
        finally:
            upstream.close()


class MlflowProcess:
    """A real `mlflow server` on an SQLite file, as `kerastudy ui` starts it.

    Attributes:
        address: where it listens, also after it was killed and started again.
        database: its tracking URI without the server.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._port = server.find_free_port("127.0.0.1", 0)
        self._child: subprocess.Popen[bytes] | None = None
        self.address = f"http://127.0.0.1:{self._port}"
        self.database = f"sqlite:///{folder / 'mlflow.db'}"

    def start(self, *, wait: bool = True) -> None:
        """Start it, and wait until it answers."""
        command = server.make_command(self.database, self._folder / "artifacts", "127.0.0.1", self._port)
        log = self._folder / "server.log"
        with log.open("ab") as output:
            self._child = subprocess.Popen(
                command, stdout=output, stderr=output, env=server.make_environ(os.environ), start_new_session=True
            )
        if wait:
            self.wait_until_healthy()

    def wait_until_healthy(self) -> None:
        """Wait until it answers."""
        assert self._child is not None
        server.wait_until_healthy(self._child, "127.0.0.1", self._port, 120, self._folder / "server.log")

    def kill(self) -> None:
        """Kill the server and its workers with SIGKILL."""
        if self._child is not None:
            os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait()
            self._child = None


@contextmanager
def mlflow_process(folder: Path) -> Iterator[MlflowProcess]:
    """Run a real server for as long as this is entered."""
    server = MlflowProcess(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def _answer(
    handler: http.server.BaseHTTPRequestHandler,
    status: int,
    headers: dict[str, str],
    content: bytes,
    *,
    most: int | None = None,
) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content[:most])


def _reset(connection: socket.socket, handler: http.server.BaseHTTPRequestHandler | None = None) -> None:
    """Reset a connection without an answer."""
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if handler is None:
            connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    if handler is not None:
        handler.close_connection = True
        connection.close()
