"""Proxy of MLflow's UI and API below `/mlflow`, with the hosts and tokens of the service.

MLflow listens on a socket in a folder that only this user can open, so the proxy is the only way to it. Every token may
read; submitters write notes, tags and views of their own studies (see `mlflow_notes`), admins more; no token may name a
location of files (see `mlflow_routes`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import parse_qsl

import anyio.to_thread
import httpx

from pipelines.service.errors import BusyError, CeilingError, ForbiddenError, TooMuchError
from pipelines.service.http.problem_details import MEDIA_TYPE, encode_problem_detail
from pipelines.service.http.security_middleware import MLFLOW, Message, Receive, Scope, Send
from pipelines.service.mlflow import graphql_queries
from pipelines.service.mlflow.assets import PAGE, extend_page, find_asset
from pipelines.service.mlflow.json_bodies import check_json
from pipelines.service.mlflow.notes import MAX_BYTES, MlflowNotes
from pipelines.service.mlflow.request_turns import RequestTurns
from pipelines.service.mlflow.routes import RouteKind, classify_route
from pipelines.service.mlflow.run_search import ROUTE, widen_page
from pipelines.service.mlflow.study_links import PAGES, MlflowPages, make_external_client
from search_spaces.errors import InputError, KerastudyError, UnknownError
from tracking.store.accounts import Identity

_NO_ANSWER = "MLflow does not answer"
_LOG = "mlflow-server.log in the home"
_SMALL_SEARCHES = (ROUTE, graphql_queries.ROUTE)
_LONGEST_SEARCH = 1 << 20  # the middleware's limit; a client may name thousands of experiments
_PATIENCE = httpx.Timeout(120.0, connect=5.0)  # MLflow takes seconds to order 10,000 runs by a metric
_CONNECTIONS = httpx.Limits(max_connections=100, max_keepalive_connections=20)
# Headers of one connection (RFC 9110, 7.6.1), which a proxy must not forward.
_OF_ONE_CONNECTION = frozenset(
    b"connection,keep-alive,proxy-authenticate,proxy-authorization,te,trailer,transfer-encoding,upgrade".split(b",")
)
# MLflow needs neither the token nor the browser's origin, which was checked before and is foreign to its socket.
_NOT_PASSED_ON = _OF_ONE_CONNECTION | {b"host", b"authorization", b"origin", b"cookie", b"content-length"}
# Parameters that name a file below a folder of MLflow's. MLflow checks them too.
_PATHS = frozenset(("path", "artifact_path", "artifact_file_path", "artifact_directory_path"))
_STATUSES: dict[type[BaseException], int] = {
    UnknownError: 404,
    ForbiddenError: 403,
    TooMuchError: 413,
    CeilingError: 429,
    BusyError: 503,
    InputError: 422,
    KerastudyError: 502,
}
# Of MLflow's page as it was, before ours was added; `aread` has decompressed it.
_OF_ANOTHER_PAGE = frozenset(b"content-length,content-encoding,etag,last-modified,cache-control".split(b","))
_NOT_PASSED_BACK = _OF_ONE_CONNECTION | {b"date", b"server", b"set-cookie"}


class MlflowProxy:
    """ASGI application that forwards requests to MLflow.

    Args:
        client: HTTP client of the MLflow that this service runs; None where it runs none.
        pages: addresses of studies in MLflow; None where there is no MLflow with a UI.
        elsewhere: in words, where MLflow is if this service runs none.
        notes: policy on what submitters write; None where they write nothing.
    """

    def __init__(
        self,
        client: httpx.AsyncClient | None,
        pages: MlflowPages | None,
        elsewhere: str = "",
        notes: MlflowNotes | None = None,
    ) -> None:
        self._client = client
        self._pages = pages
        self._elsewhere = elsewhere
        self._notes = notes
        self._turns = RequestTurns()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward one request, and its answer back."""
        if self._pages is not None and scope["path"].startswith(PAGES):
            await _redirect_to_page(self._pages, scope["path"], send)
            return
        if self._client is None:
            await _send_problem(send, 404, self._elsewhere)
            return
        if scope["path"] == MLFLOW:
            await _send_redirect(send, f"{MLFLOW}/")
            return
        if (asset := find_asset(scope["path"])) is not None and scope["method"] in ("GET", "HEAD"):
            await _send_asset(send, *asset)
            return
        try:
            scope, receive = await self._check(scope, receive)
            request = _make_request(self._client, scope, receive)
        except KerastudyError as error:
            status = next(_STATUSES[kind] for kind in type(error).__mro__ if kind in _STATUSES)
            await _send_problem(send, status, str(error))
        except httpx.HTTPError:
            await _send_problem(send, 503, f"{_NO_ANSWER}; the service starts it again")
        else:
            await self._forward_in_turn(scope["kerastudy.caller"], self._client, request, send)

    async def _check(self, scope: Scope, receive: Receive) -> tuple[Scope, Receive]:
        """Return the request to forward, with its body.

        Raises:
            KerastudyError: if it is refused.
        """
        caller: Identity = scope["kerastudy.caller"]
        route = scope["path"].removeprefix(MLFLOW)
        kind = classify_route(scope["method"], route)
        _check_paths(scope["query_string"])
        if kind == "note" and self._notes is not None and not caller.has_scope("admin") and caller.has_scope("submit"):
            body = await self._notes.check(caller, route, await _read_body(receive))
            return _replace_body(scope, body)
        _require_kind(caller, kind)
        if kind == "read" and scope["method"] == "POST":
            body = await _read_body(receive, MAX_BYTES if route.rstrip("/") in _SMALL_SEARCHES else _LONGEST_SEARCH)
            check_json(body)
            if route.rstrip("/") == graphql_queries.ROUTE:
                # In a thread: 10 ms for a query that was not there before.
                return _replace_body(scope, await anyio.to_thread.run_sync(graphql_queries.check_query, body))
            return _replace_body(scope, widen_page(body) if route == ROUTE else body)
        return scope, receive

    async def _forward_in_turn(
        self, caller: Identity, client: httpx.AsyncClient, request: httpx.Request, send: Send
    ) -> None:
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(self._turns.take(caller))
            except BusyError as error:
                await _send_problem(send, _STATUSES[type(error)], str(error))
                return
            await self._forward(client, request, send)

    async def _forward(self, client: httpx.AsyncClient, request: httpx.Request, send: Send) -> None:
        try:
            # Streamed: an artifact may be larger than memory.
            answer = await client.send(request, stream=True)
        except httpx.HTTPError:
            await _send_problem(send, 503, f"{_NO_ANSWER}; the service starts it again")
            return
        try:
            if answer.status_code == 500 and "json" not in answer.headers.get("content-type", ""):
                await _send_problem(send, 502, f"MLflow failed at this request; {_LOG} has the details")
                return
            kept = [(name, value) for name, value in answer.headers.raw if name.lower() not in _NOT_PASSED_BACK]
            if request.url.path == PAGE and answer.status_code == 200 and request.method == "GET":
                await _send_page(send, kept, await answer.aread())
                return
            await send({"type": "http.response.start", "status": answer.status_code, "headers": kept})
            # Raw: the header of the compression is forwarded too.
            async for chunk in answer.aiter_raw():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            # Also when the client has gone: otherwise the pool of connections runs out.
            await answer.aclose()


def make_socket_client(socket: Path) -> httpx.AsyncClient:
    """Return an HTTP client of the MLflow that listens on a socket."""
    # A socket of the file system has a folder's rights; a port on loopback is open to every user of the machine.
    transport = httpx.AsyncHTTPTransport(uds=str(socket), limits=_CONNECTIONS)
    return httpx.AsyncClient(transport=transport, base_url=f"http://localhost{MLFLOW}", timeout=_PATIENCE)


def make_server_client(address: str) -> httpx.AsyncClient:
    """Return an HTTP client of an MLflow server whose address ends with the path below which it is served here.

    Raises:
        InputError: if the address has another path.
    """
    if httpx.URL(address).path.rstrip("/") != MLFLOW:
        raise InputError(
            f"mlflow_below: expected an address that ends with {MLFLOW} in MLFLOW_TRACKING_URI, such as "
            f"http://127.0.0.1:5000{MLFLOW}; start that server with --static-prefix {MLFLOW}"
        )
    client = make_external_client(address)
    client.timeout = _PATIENCE
    return client


async def _send_asset(send: Send, media_type: str, content: bytes) -> None:
    # Not kept: the next version of kerastudy has another one under this address.
    headers = [(b"content-type", media_type.encode()), (b"content-length", str(len(content)).encode())]
    headers.append((b"cache-control", b"no-cache"))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


async def _send_page(send: Send, headers: list[tuple[bytes, bytes]], page: bytes) -> None:
    page = extend_page(page)
    kept = [(name, value) for name, value in headers if name.lower() not in _OF_ANOTHER_PAGE]
    kept += [(b"content-length", str(len(page)).encode()), (b"cache-control", b"no-cache")]
    await send({"type": "http.response.start", "status": 200, "headers": kept})
    await send({"type": "http.response.body", "body": page})


async def _redirect_to_page(pages: MlflowPages, path: str, send: Send) -> None:
    """Redirect to the page of a study in MLflow."""
    try:
        await _send_redirect(send, await pages.find(path))
    except UnknownError as error:
        await _send_problem(send, 404, str(error))
    except KerastudyError as error:
        await _send_problem(send, 502, str(error))
    except httpx.HTTPError:
        await _send_problem(send, 503, _NO_ANSWER)


async def _send_redirect(send: Send, location: str) -> None:
    # Not to be stored: in a rebuilt MLflow, the experiment has another number.
    headers = [(b"location", location.encode()), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 307, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def _require_kind(caller: Identity, kind: RouteKind) -> None:
    if kind == "read" and caller.has_scope("read"):
        return
    if kind == "closed":
        raise ForbiddenError("this service opens what is needed to browse MLflow; this address of it is closed to all")
    if not caller.has_scope("admin"):
        own = ", besides notes, tags and views of their own studies" if caller.has_scope("submit") else ""
        raise ForbiddenError(f"{caller.name} may read in MLflow, and change nothing there{own}: use kerastudy's verbs")


def _check_paths(query: bytes) -> None:
    """Check that no parameter leads out of the folder that MLflow resolves it in."""
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        parts = value.replace("\\", "/").split("/")
        if name in _PATHS and (".." in parts or value.startswith(("/", "\\")) or ":" in parts[0] or "%" in value):
            raise InputError(f"{name}: expected a path below the run's or the model's files, without .. and %")


def _make_request(client: httpx.AsyncClient, scope: Scope, receive: Receive) -> httpx.Request:
    headers = [(name, value) for name, value in scope["headers"] if name.lower() not in _NOT_PASSED_ON]
    length = [(name, value) for name, value in scope["headers"] if name.lower() == b"content-length"]
    has_body = bool(length) or any(name.lower() == b"transfer-encoding" for name, _ in scope["headers"])
    # Not decoded: MLflow decodes it once, and so sees the path that the list of routes was compared with. A raw # would
    # begin a fragment, which is not sent.
    target = (scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")).replace(
        b"#", b"%23"
    )
    try:
        # Absolute: joined to the client's base, the path would get the prefix twice.
        origin = client.base_url if client.base_url.host else httpx.URL("http://localhost")
        url = origin.copy_with(raw_path=target)
    except (httpx.InvalidURL, ValueError):
        raise InputError("the address holds characters that no address may hold") from None
    content = _stream_body(receive) if has_body else None
    return client.build_request(scope["method"], url, headers=[*headers, *length], content=content)


async def _read_body(receive: Receive, limit: int = MAX_BYTES) -> bytes:
    body = b""
    async for chunk in _stream_body(receive):
        body += chunk
        if len(body) > limit:
            raise TooMuchError(f"the body is larger than the {limit:,} bytes that are allowed here")
    return body


def _replace_body(scope: Scope, body: bytes) -> tuple[Scope, Receive]:
    """Return a request that consists of its route and a JSON body alone."""
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return {**scope, "headers": headers, "query_string": b""}, receive


async def _stream_body(receive: Receive) -> AsyncIterator[bytes]:
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return
        yield message.get("body", b"")
        if not message.get("more_body", False):
            return


async def _send_problem(send: Send, status: int, detail: str) -> None:
    body = encode_problem_detail(status, detail)
    headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
    if status in (429, 503):
        headers.append((b"retry-after", b"3"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
