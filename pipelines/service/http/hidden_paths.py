"""Filter of answers: places of the service's machine are not shown to its clients.

What lies in the home is `HOME/...`; what lies in a data folder is named as a study names it. Logs are filtered by
their route, line by line.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

from pipelines.service.config import ServiceSpec
from pipelines.workspace.home import Home

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_FILTERED = (b"application/json", b"application/problem+json")
_EVENTS = b"text/event-stream"  # each event is sent as a whole


class HiddenPaths:
    """Places of one service, and the names that stand for them."""

    def __init__(self, home: Home, spec: ServiceSpec) -> None:
        found = {
            path: name
            for written, name in _list_places(home, spec)
            for path in (str(written), str(written.resolve()), *_escape(written))
            if path.strip("/")
        }
        # The longest first: a data folder may lie in the home.
        ordered = sorted(found, key=len, reverse=True)
        self._names = {each.encode(): found[each].encode() for each in ordered}
        # Not within a longer name: `/data` is no part of `/database`.
        places = b"|".join(map(re.escape, self._names))
        self._pattern = re.compile(rb"(%s)(/|(?![\w-]|\.\w))" % places)

    def hide(self, text: bytes) -> bytes:
        """Return a text with the names of places in their stead."""

        def rename(found: re.Match[bytes]) -> bytes:
            name, end = self._names[found[1]], found[2]
            return name + end if name else b"" if end else b"data"

        return self._pattern.sub(rename, text)


class PathFilter:
    """ASGI application that hides places in the JSON and the events of the one within."""

    def __init__(self, app: App, paths: HiddenPaths) -> None:
        self._app = app
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        start: Message | None = None
        parts: list[bytes] = []
        kind = b""

        async def filter_part(message: Message) -> None:
            nonlocal start, kind
            if message["type"] == "http.response.start":
                kind = next((value for name, value in message["headers"] if name.lower() == b"content-type"), b"")
                if kind.startswith(_FILTERED):
                    start = message
                    return
            elif start is not None:
                parts.append(message.get("body", b""))
                if not message.get("more_body", False):
                    await self._send_whole(start, b"".join(parts), send)
                return
            elif kind.startswith(_EVENTS) and message.get("body"):
                message = {**message, "body": self._paths.hide(message["body"])}
            await send(message)

        await self._app(scope, receive, filter_part)

    async def _send_whole(self, start: Message, body: bytes, send: Send) -> None:
        hidden = self._paths.hide(body)
        headers = [pair for pair in start["headers"] if pair[0].lower() != b"content-length"]
        length = [(b"content-length", str(len(hidden)).encode())]
        await send({**start, "headers": [*headers, *length]})
        await send({"type": "http.response.body", "body": hidden})


def _list_places(home: Home, spec: ServiceSpec) -> Iterator[tuple[Path, str]]:
    yield home.folder, "HOME"
    for folder in spec.data:
        yield Path(folder), ""
    for reference in spec.code:
        yield Path(reference.rpartition(":")[0]).parent, ""
    yield Path(tempfile.gettempdir()), "TMP"
    yield Path(sys.prefix), "PYTHON"


def _escape(path: Path) -> tuple[str, ...]:
    """Return a path as JSON has it in ASCII."""
    return tuple(json.dumps(str(each))[1:-1] for each in (path, path.resolve()))
