"""Recorder of requests: a line in the log and a measurement for each, around everything else that handles it."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from pipelines.service.monitoring.logs import CURRENT_REQUEST

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Observe = Callable[[str, str, int, float], None]

_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_POLLED: Final = ("/healthz", "/readyz", "/metrics")
_CLOSED = 499  # nginx's status for a client that left before its answer
_log = logging.getLogger("kerastudy.requests")


class RequestRecorder:
    """ASGI application that records the requests to another one.

    Args:
        observe: called after each request with method, template of its route, status and seconds.
        is_logged: whether each request is a line in the log.
    """

    def __init__(self, app: App, observe: Observe, *, is_logged: bool = True) -> None:
        self._app = app
        self._observe = observe
        self._is_logged = is_logged

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, size = time.perf_counter(), _CLOSED, 0

        async def count(message: Message) -> None:
            nonlocal status, size
            status = message.get("status", status)
            size += len(message.get("body", b""))
            await send(message)

        entered = CURRENT_REQUEST.set(scope)
        try:
            await self._app(scope, receive, count)
        except Exception:
            status = 500
            raise
        finally:
            self._record(scope, status, time.perf_counter() - began, size)
            CURRENT_REQUEST.reset(entered)

    def _record(self, scope: Scope, status: int, seconds: float, size: int) -> None:
        # Of a fixed set: a label of Prometheus for each invented one would use up its memory.
        method = scope["method"] if scope["method"] in _METHODS else "other"
        route = find_route(scope)
        self._observe(method, route, status, seconds)
        if not self._is_logged:
            return
        level = logging.WARNING if status >= 500 else logging.INFO
        if route in _POLLED and status < 400:
            level = logging.DEBUG
        fields = {
            "method": method,
            "route": route,
            "status": status,
            "duration_ms": round(seconds * 1000, 1),
            "bytes": size,
        }
        _log.log(level, "%s %s %d", method, route, status, extra=fields)


def find_route(scope: Scope) -> str:
    """Return the template of a request's route, such as `/v1/studies/{study}`: the path itself is no label."""
    if (route := scope.get("route")) is not None and hasattr(route, "path"):
        return str(route.path)
    path: str = scope["path"]
    for prefix in ("/mlflow", "/swagger"):
        if path == prefix or path.startswith(f"{prefix}/"):
            return f"{prefix}/..."
    return "unknown"
