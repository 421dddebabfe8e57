"""Recorder of the audit log: a line for each request that changes something, written before its answer is sent.

So whoever has an answer has a line, whatever route it was: a new route needs nothing of its own. A kill between an act
and its line leaves an act without an answer and without a line.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import anyio.to_thread

from pipelines.service.mlflow.routes import classify_route
from tracking.store.audit import AuditLog, Outcome

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OBJECT: Final = "kerastudy.object"
"""Key of a request's scope under which a route names what it changed, where its path does not."""

OWN_LINES: Final = "kerastudy.has_own_lines"
"""Key of a request's scope that states that the route writes its lines itself."""

_MLFLOW: Final = "/mlflow/"
_READING: Final = ("GET", "HEAD", "OPTIONS")
# A client that is refused for its load may come a thousand times.
_UNRECORDED: Final = (404, 405, 408, 413, 421, 429, 503)
_log = logging.getLogger("kerastudy.audit")


class AuditRecorder:
    """ASGI application that records what callers change through another one; within the security middleware."""

    def __init__(self, app: App, audit: AuditLog) -> None:
        self._app = app
        self._audit = audit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or not _changes_something(scope["method"], scope["path"]):
            await self._app(scope, receive, send)
            return

        async def record(message: Message) -> None:
            is_start = message["type"] == "http.response.start"
            if is_start and message["status"] not in _UNRECORDED and OWN_LINES not in scope:
                await anyio.to_thread.run_sync(self._record, scope, message)
            await send(message)

        await self._app(scope, receive, record)

    def _record(self, scope: Scope, start: Message) -> None:
        request, caller = scope.get("kerastudy.request_id", ""), scope.get("kerastudy.caller")
        status: int = start["status"]
        if caller is None:
            return
        try:
            self._audit.record(
                _name_operation(scope),
                _name_object(scope, start),
                caller,
                outcome=_classify(status),
                details=f"status {status}",
                request=request,
            )
        # A full disk: what was done is done, and its answer must not be another one for that.
        except Exception:
            _log.exception("a line of the audit log could not be written")


def _changes_something(method: str, path: str) -> bool:
    if path.startswith(_MLFLOW):
        return classify_route(method, path.removeprefix(_MLFLOW.rstrip("/"))) != "read"
    return method not in _READING


def _name_operation(scope: Scope) -> str:
    if scope["path"].startswith(_MLFLOW):
        return "mlflow"
    route = scope.get("route")
    return str(getattr(route, "operation_id", None) or getattr(route, "name", None) or scope["method"])


def _name_object(scope: Scope, start: Message) -> str:
    if (named := scope.get(OBJECT)) is not None:
        return str(named)
    if scope["path"].startswith(_MLFLOW):
        return f"{scope['method']} {scope['path']}"
    named = " ".join(str(value) for value in scope.get("path_params", {}).values())
    # Of a new study, the address is in the answer alone.
    made = next((value.decode() for key, value in start.get("headers", ()) if key.lower() == b"location"), "")
    return named or made.rpartition("/")[2]


def _classify(status: int) -> Outcome:
    if status < 400:
        return "done"
    return "refused" if status in (401, 403) else "failed"
