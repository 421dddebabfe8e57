"""Security middleware: checks of host, origin, size, speed and caller, before anything else reads a request.

It is a plain ASGI application around another one, so that it also protects MLflow's UI. A caller has a token, or a
browser's session, whose cookie changes something only for pages of the service itself. The caller is in the scope
as `kerastudy.caller`, the request's id as `kerastudy.request_id`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any
from urllib.parse import urlencode, urlsplit

import anyio
from starlette.requests import ClientDisconnect

from pipelines.service.http.problem_details import MEDIA_TYPE, encode_problem_detail
from pipelines.service.http.problem_details import PAGES as PROBLEMS
from pipelines.service.sign_in.callers import Callers
from tracking.store.accounts import Identity

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MLFLOW = "/mlflow"
SIGN_IN = "/sign-in"
OPEN = ("/healthz", "/readyz", "/openapi.json", "/docs")
"""Paths without a token: the health of the service, and the description of its routes."""

_OPEN_PREFIXES = ("/swagger/", "/assets/", PROBLEMS, f"{SIGN_IN}/")
_PAGES = ("/", "/docs")
_READING = ("GET", "HEAD", "OPTIONS")

_MAX_BYTES = 1 << 20  # a study file has 256 kB at most
_MAX_ARTIFACT_BYTES = 1 << 30  # an admin's artifact may be a model
_CHUNK_S = 20.0  # a part that takes longer is an idle connection
_LONGEST_BODY_S = 60.0  # for small bodies: a byte every 19 seconds would last for months otherwise
_SLOWEST_BYTES_S = 1000.0  # for large bodies after that time, on average: chosen, an eighth of an old modem
_RECHECK_S = 3.0  # a body that takes longer has its token checked again; as often as that of a stream
_MAX_HEADER_BYTES = 32 * 1024  # with the address; the web server has this limit for headers that are not complete yet
_MAX_HEADERS = 100  # browsers send about 20, and a proxy in front adds some
_CHECKS_AT_ONCE = 20  # threads of their own pool, since exports may hold all of the shared one
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HOST = re.compile(r"\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+")
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
# For answers of MLflow without `Cache-Control`: each is for one account. Its scripts have one, which lets them be kept.
_HEADERS_OF_MLFLOW = ((b"cache-control", b"private, no-cache"),)
_HEADERS_OF_OURS = (
    (b"cache-control", b"no-store"),
    (b"x-frame-options", b"DENY"),
)


class _BodyError(Exception):
    """A body is too large or too slow; the client has its answer."""


class SecurityMiddleware:
    """ASGI application that answers the requests it refuses, and forwards the rest.

    Args:
        callers: knows the tokens and sessions.
        hosts: names and addresses that the service answers to.
        uploads: most bytes of an uploaded file; None where none may be uploaded.
    """

    def __init__(self, app: App, callers: Callers, hosts: Collection[str], uploads: int | None) -> None:
        self._app = app
        self._callers = callers
        self._hosts = frozenset(host.lower().strip("[]") for host in hosts)
        self._uploads = uploads
        self._checks = anyio.CapacityLimiter(_CHECKS_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            # No route has a WebSocket, and a page of another site can open one without a preflight request.
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = _read_headers(scope)
        scope["kerastudy.request_id"] = _choose_request_id(headers)
        answer = _SecuredResponse(send, scope["path"], scope["kerastudy.request_id"])
        if (refused := self._find_refusal(scope, headers)) is not None:
            await answer.send_problem(*refused)
            return
        # After the refusals above, which cost no query of the store.
        caller = await self._find_caller(scope, headers)
        is_page = _is_page_visit(scope, headers)
        if caller is None and is_page:
            await answer.send_redirect(_make_sign_in_url(scope))
            return
        if caller is None and not _is_open(scope["path"]):
            await answer.send_unauthorized()
            return
        if caller is not None:
            scope["kerastudy.caller"] = caller
        if scope["method"] not in _READING and _comes_from_browser(scope, caller) and not _is_same_origin(headers):
            await answer.send_problem(403, "a browser's session changes something only from a page of this service")
            return

        async def has_access() -> bool:
            return caller is None or await self._find_caller(scope, headers) is not None

        body = _LimitedBody(receive, self._find_body_limit(scope), answer, has_access)
        try:
            await self._app(scope, body.receive, answer.send)
        except _BodyError:
            if not answer.has_begun:
                raise
        except ClientDisconnect:  # within its body: there is no one to answer, and this is no error of ours
            pass

    def _find_refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        """Return status and reason of a refusal that depends on no token; None for a request that may pass."""
        if len(scope["headers"]) > _MAX_HEADERS or _measure_head(scope) > _MAX_HEADER_BYTES:
            most = f"{_MAX_HEADERS} headers and {_MAX_HEADER_BYTES:,} bytes with the address"
            return 431, f"expected at most {most}; in a browser, remove the cookies of this host"
        # Against DNS rebinding: a page whose name suddenly leads to this address counts as same-origin in its browser.
        if _parse_host_name(headers.get("host", "")) not in self._hosts:
            return 421, "this service does not answer to that host; its operator can add it to `hosts`"
        origin = headers.get("origin")
        # Browsers send it with all requests of scripts and forms that change something; other clients need not.
        if origin is not None and _parse_host_name(urlsplit(origin).netloc) not in self._hosts:
            return 403, "requests from pages of other sites are refused"
        # A link from a mail or a chat to a page of the service is welcome; its answer goes to no script.
        goes_there = scope["method"] == "GET" and headers.get("sec-fetch-mode") == "navigate"
        if headers.get("sec-fetch-site") == "cross-site" and not goes_there:
            return 403, "requests from pages of other sites are refused"
        # Of the two, a proxy in front may read one and this service the other.
        if "content-length" in headers and "transfer-encoding" in headers:
            return 400, "expected Content-Length or Transfer-Encoding, got both"
        length, limit = headers.get("content-length"), self._find_body_limit(scope)
        # `int` raises for more than 4,300 digits. A body without a length is counted as it arrives.
        if length is not None and (not length.isdecimal() or len(length) > 18 or int(length) > limit):
            return 413, f"the body is larger than the {limit:,} bytes that are allowed here"
        return None

    def _find_body_limit(self, scope: Scope) -> int:
        path = scope["path"]
        takes_file = path.startswith("/v1/uploads/") or (path.startswith("/v1/studies/") and path.endswith(":predict"))
        if takes_file and self._uploads is not None:
            return self._uploads
        # MLflow reads a body into memory.
        is_artifact = scope["method"] == "PUT" or path.endswith("/upload-artifact")
        return _MAX_ARTIFACT_BYTES if _is_mlflow(path) and is_artifact else _MAX_BYTES

    async def _find_caller(self, scope: Scope, headers: dict[str, str]) -> Identity | None:
        """Return whose token or session a request has."""
        authorization, cookies = headers.get("authorization"), headers.get("cookie", "")
        # A header counts alone: a wrong token must not pass as somebody's session.
        if authorization is None:
            if not self._callers.find_session(cookies):
                return None
            return await anyio.to_thread.run_sync(self._callers.check_session, cookies, limiter=self._checks)
        kind, _, written = authorization.partition(" ")
        # Basic only for MLflow, whose client has it; browsers repeat it on their own, and are not offered it.
        if kind.lower() == "basic" and _is_mlflow(scope["path"]):
            written = _decode_password(written)
        elif kind.lower() != "bearer":
            return None
        return await anyio.to_thread.run_sync(self._callers.check_token, written.strip(), limiter=self._checks)


class _LimitedBody:
    """Body of a request, no larger and no slower than allowed.

    Args:
        receive: returns its next part.
        limit: most bytes.
        answer: answers in the application's place.
        has_access: whether the request's token or session is still valid.
    """

    def __init__(
        self, receive: Receive, limit: int, answer: _SecuredResponse, has_access: Callable[[], Awaitable[bool]]
    ) -> None:
        self._limit = limit
        self._has_access = has_access
        self._answer = answer
        self._receive = receive
        self._size = 0
        self._waited_s = 0.0
        self._is_whole = False

    async def receive(self) -> Message:
        """Return the next part."""
        # No time limit: Starlette waits here for hours for the client of a stream to leave.
        if self._is_whole:  # only the end of the connection can follow
            return await self._receive()
        began = time.monotonic()
        try:
            message = await asyncio.wait_for(self._receive(), _CHUNK_S)
        except TimeoutError:
            raise await self._refuse(408, "the body did not arrive in time") from None
        if message["type"] == "http.disconnect":  # within its body: a status of 500 would alarm the operator
            self._answer.is_given = True
            return message
        # For the client alone: what reads the body may take its time.
        self._waited_s += time.monotonic() - began
        self._size += len(message.get("body", b""))
        self._is_whole = not message.get("more_body", False)
        if self._size > self._limit:
            raise await self._refuse(413, f"the body is larger than the {self._limit:,} bytes that are allowed here")
        if not self._is_whole and self._is_too_slow():
            raise await self._refuse(408, "the body did not arrive in time")
        # Before the last part, without which nothing is kept: uploads may take hours.
        if self._is_whole and self._waited_s > _RECHECK_S and not await self._has_access():
            raise await self._refuse(401, "the token or session was removed or has expired while the body arrived")
        return message

    def _is_too_slow(self) -> bool:
        if self._waited_s <= _LONGEST_BODY_S:
            return False
        # An upload may take hours on a slow line, and not years.
        return self._limit <= _MAX_BYTES or self._size < self._waited_s * _SLOWEST_BYTES_S

    async def _refuse(self, status: int, detail: str) -> _BodyError:
        """Answer in the application's place; the application only gets the error that ends its reading."""
        if not self._answer.has_begun:
            await self._answer.send_problem(status, detail)
            self._answer.is_given = True
        return _BodyError(detail)


class _SecuredResponse:
    """Answer with the headers that all answers have.

    Attributes:
        has_begun: whether any part was sent.
        is_given: whether the middleware has sent it in full; what the application sends then is dropped.
    """

    def __init__(self, send: Send, path: str, request_id: str) -> None:
        self._send = send
        self._is_mlflow = _is_mlflow(path)
        self._request_id = (b"x-request-id", request_id.encode())
        self.has_begun = self.is_given = False

    async def send(self, message: Message) -> None:
        """Send a part of the answer, unless the middleware has answered already."""
        if self.is_given:
            return
        if message["type"] == "http.response.start":
            self.has_begun = True
            present = {name.lower() for name, _ in message.get("headers", ())}
            ours = (self._request_id, *_HEADERS, *(_HEADERS_OF_MLFLOW if self._is_mlflow else _HEADERS_OF_OURS))
            message["headers"] = [*message.get("headers", ()), *(pair for pair in ours if pair[0] not in present)]
        await self._send(message)

    async def send_unauthorized(self) -> None:
        """Answer that a token is needed."""
        await self.send_problem(
            401, "a valid token is needed: Authorization: Bearer TOKEN", ((b"www-authenticate", b"Bearer"),)
        )

    async def send_redirect(self, target: str) -> None:
        """Send a browser to another page of the service."""
        headers = [(b"location", target.encode()), (b"content-length", b"0")]
        await self.send({"type": "http.response.start", "status": 303, "headers": headers})
        await self.send({"type": "http.response.body", "body": b""})

    async def send_problem(self, status: int, detail: str, headers: Collection[tuple[bytes, bytes]] = ()) -> None:
        """Send a problem detail."""
        body = encode_problem_detail(status, detail)
        all_headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode()), *headers]
        if status in (400, 408, 413, 431):  # the rest of the body stays unread
            all_headers.append((b"connection", b"close"))
        await self.send({"type": "http.response.start", "status": status, "headers": all_headers})
        await self.send({"type": "http.response.body", "body": body})


def _read_headers(scope: Scope) -> dict[str, str]:
    """Return the headers by name; one that occurs twice gets an invalid value."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        # Of two values, a proxy in front may read one and this service the other.
        key = name.decode("latin-1").lower()
        found[key] = value.decode("latin-1") if key not in found else "\0"
    return found


def _measure_head(scope: Scope) -> int:
    """Return the bytes of a request's address and headers."""
    headers = sum(len(name) + len(value) for name, value in scope["headers"])
    return headers + len(scope.get("raw_path", b"")) + len(scope.get("query_string", b""))


def _choose_request_id(headers: dict[str, str]) -> str:
    """Return the id that the client, or a proxy in front, gave to the request; a new one where it has none."""
    given = headers.get("x-request-id", "")
    # By a pattern: the id is written into logs.
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _parse_host_name(host: str) -> str:
    """Return the host name in `name:port`; empty where it is invalid."""
    found = _HOST.match(host)
    rest = host[found.end() :] if found else ""
    # Whole: "localhost@evil" and "localhost.evil" must not pass as localhost.
    if found is None or (rest and not re.fullmatch(r":\d{1,5}", rest)):
        return ""
    return found[0].lower().strip("[]")


def _decode_password(written: str) -> str:
    try:
        return base64.b64decode(written, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return ""


def _is_mlflow(path: str) -> bool:
    return path == MLFLOW or path.startswith(f"{MLFLOW}/")


def _is_open(path: str) -> bool:
    return path in OPEN or path == SIGN_IN or path.startswith(_OPEN_PREFIXES)


def _is_page_visit(scope: Scope, headers: dict[str, str]) -> bool:
    """Return whether a browser opens a page that needs a caller; programs ask for no HTML."""
    path: str = scope["path"]
    is_page = path in _PAGES or path.startswith("/home/") or _is_mlflow(path)
    shows_it = headers.get("sec-fetch-mode", "navigate") == "navigate" and "text/html" in headers.get("accept", "")
    return is_page and scope["method"] == "GET" and shows_it and "authorization" not in headers


def _make_sign_in_url(scope: Scope) -> str:
    query = scope.get("query_string", b"").decode("latin-1")
    return f"{SIGN_IN}?{urlencode({'next': scope['path'] + (f'?{query}' if query else '')})}"


def _comes_from_browser(scope: Scope, caller: Identity | None) -> bool:
    """Return whether a request counts on the browser alone: on its cookie, or on nothing at the sign-in."""
    return caller.credential.startswith("session:") if caller else scope["path"].startswith(SIGN_IN)


def _is_same_origin(headers: dict[str, str]) -> bool:
    """Return whether a page of this very address sent the request: another port is another site."""
    if (origin := headers.get("origin")) is not None:
        return urlsplit(origin).netloc.lower() == headers.get("host", "").lower()
    return headers.get("sec-fetch-site") == "same-origin"
