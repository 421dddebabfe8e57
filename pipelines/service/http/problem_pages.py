"""Pages for problems that a person meets in a browser: the same status and reason, as HTML."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from pipelines.service.http.pages import HEADERS, render
from pipelines.service.http.problem_details import MEDIA_TYPE

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_REPLACED: Final = (b"content-type", b"content-length")


class ProblemPages:
    """ASGI application that shows the problem details of another one as pages, to browsers that open an address."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or not _is_visit(scope):
            await self._app(scope, receive, send)
            return
        start: Message | None = None
        body = b""

        async def replace(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start" and _is_problem(message):
                start = message
                return
            if start is None:
                await send(message)
                return
            body += message.get("body", b"")
            if not message.get("more_body", False):
                await _send_page(start, body, send)

        await self._app(scope, receive, replace)


def _is_visit(scope: Scope) -> bool:
    headers = {name.lower(): value for name, value in scope["headers"]}
    is_navigation = headers.get(b"sec-fetch-mode", b"navigate") == b"navigate"
    return scope["method"] == "GET" and is_navigation and b"text/html" in headers.get(b"accept", b"")


def _is_problem(message: Message) -> bool:
    return any(name.lower() == b"content-type" and MEDIA_TYPE.encode() in value for name, value in message["headers"])


async def _send_page(start: Message, body: bytes, send: Send) -> None:
    problem = json.loads(body)
    # MLflow needs some seconds to start; the page looks again by itself.
    page = render("problem.html", problem=problem, again_s=5 if start["status"] == 503 else 0).encode()
    kept = [pair for pair in start["headers"] if pair[0].lower() not in _REPLACED]
    ours = {"content-type": "text/html; charset=utf-8", "content-length": str(len(page)), **HEADERS}
    added = [(name.lower().encode(), value.encode()) for name, value in ours.items()]
    await send({**start, "headers": [*kept, *added]})
    await send({"type": "http.response.body", "body": page})
