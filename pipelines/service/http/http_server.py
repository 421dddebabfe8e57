"""HTTP server of the service: uvicorn, with limits on slow clients."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from pipelines.service.config import ServiceSpec

_HEADERS_S = 10.0  # headers fit into a few packets; without a limit, idle connections use up all that are allowed
_IDLE_S = 30  # seconds between two requests of one connection
_SHUTDOWN_S = 5  # seconds for requests to end; streams and exports are ended before
_MAX_CONNECTIONS = 4000  # chosen; uvicorn answers 503 above it
_OTHER_FILES = 300  # descriptors for the store, logs, and processes of studies
_UNREAD_S = 60.0  # the longest time in which a client takes nothing of an answer
_MAX_HEADER_BYTES = 32 * 1024  # twice h11's default: cookies of other services on this host are sent along


def make_uvicorn_config(app: Any, spec: ServiceSpec) -> uvicorn.Config:
    """Return the configuration of the server of an ASGI application."""
    return uvicorn.Config(
        app,
        host=spec.host,
        port=spec.port,
        # A class and not "auto", which would take httptools where it is installed, without these limits.
        http=HeaderTimeoutProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        # Monitors poll, and would fill the log.
        access_log=False,
        server_header=False,
        # Of a proxy in front only the scheme would matter, and nothing here depends on it.
        proxy_headers=False,
        limit_concurrency=_raise_connection_limit(),
        h11_max_incomplete_event_size=_MAX_HEADER_BYTES,
        timeout_keep_alive=_IDLE_S,
        timeout_graceful_shutdown=_SHUTDOWN_S,
        ssl_certfile=spec.tls.certificate if spec.tls else None,
        ssl_keyfile=spec.tls.key if spec.tls else None,
    )


def _raise_connection_limit() -> int:
    """Let this process open as many files as it may; return how many connections that allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MAX_CONNECTIONS + _OTHER_FILES
    # Many systems give 1,024 to a process that does not request more.
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return _MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else max(100, min(_MAX_CONNECTIONS, soft - _OTHER_FILES))


class HeaderTimeoutProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 protocol with time limits for clients.

    A request's headers arrive within ten seconds, and an answer is read on within a minute: a follower that reads a
    byte now and then would hold its place for ever.
    """

    _timer: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer for the first request."""
        super().connection_made(transport)
        self._start_timer()

    def data_received(self, data: bytes) -> None:
        """Process received data; stop the timer once a whole request's headers are there."""
        previous = self.cycle
        super().data_received(data)
        if self.cycle is not previous:
            self._stop_timer()
        elif self._timer is None and (previous is None or previous.response_complete):
            self._start_timer()

    def pause_writing(self) -> None:
        """Start the timer for the client to read on."""
        super().pause_writing()
        self._unread = self.loop.call_later(_UNREAD_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop the timer: the client has read most of what it was sent."""
        super().resume_writing()
        self._stop_unread()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers."""
        self._stop_timer()
        self._stop_unread()
        super().connection_lost(exc)

    def _start_timer(self) -> None:
        # Closed without an answer: a client that sends a header a byte at a time does not wait for one.
        self._timer = self.loop.call_later(_HEADERS_S, self.transport.abort)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _stop_unread(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None


class ServiceServer(uvicorn.Server):
    """uvicorn's server with callbacks.

    Args:
        config: see `make_uvicorn_config`.
        on_start: called once the server listens.
        on_exit: called at SIGINT or SIGTERM, before the server waits for its requests; it ends those that last.
    """

    def __init__(self, config: uvicorn.Config, on_start: Callable[[], None], on_exit: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start = on_start
        self._on_exit = on_exit

    async def startup(self, sockets: Any = None) -> None:
        """Start to listen."""
        await super().startup(sockets)
        # False if the address is taken: then no token is made and nothing is printed.
        if self.started:
            self._on_start()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Start the shutdown."""
        # Before uvicorn's, which waits for open requests: a followed log ends only here.
        self._on_exit()
        super().handle_exit(sig, frame)
