"""Proxy of MLflow's UI and API below `/mlflow`, with the hosts and tokens of the service.

MLflow listens on a socket in a folder that only this user can open, so the proxy is the only way to it. Every token may
read; only an admin's token may write; no token may name a location of files (see `mlflow_routes`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx

from pipelines.service.mlflow_pages import PAGES, MlflowPages
from pipelines.service.mlflow_routes import has_location, is_read_only
from pipelines.service.problem_details import MEDIA_TYPE, encode_problem_detail
from pipelines.service.security_middleware import MLFLOW, Receive, Scope, Send
from search_spaces.errors import KerastudyError, UnknownError
from tracking.store.tokens import Token

_NO_ANSWER = "MLflow does not answer"
_PATIENCE = httpx.Timeout(120.0, connect=5.0)  # MLflow takes seconds to order 10,000 runs by a metric
_CONNECTIONS = httpx.Limits(max_connections=100, max_keepalive_connections=20)
# Headers of one connection (RFC 9110, 7.6.1), which a proxy must not forward.
_OF_ONE_CONNECTION = frozenset(
    b"connection,keep-alive,proxy-authenticate,proxy-authorization,te,trailer,transfer-encoding,upgrade".split(b",")
)
# MLflow needs neither the token nor the browser's origin, which was checked before and is foreign to its socket.
_NOT_PASSED_ON = _OF_ONE_CONNECTION | {b"host", b"authorization", b"origin", b"cookie", b"content-length"}
_NOT_PASSED_BACK = _OF_ONE_CONNECTION | {b"date", b"server", b"set-cookie"}


class MlflowProxy:
    """ASGI application that forwards requests to MLflow.

    Args:
        client: HTTP client of the MLflow that this service runs; None where it runs none.
        pages: addresses of studies in MLflow; None where there is no MLflow with a UI.
        elsewhere: in words, where MLflow is if this service runs none.
    """

    def __init__(self, client: httpx.AsyncClient | None, pages: MlflowPages | None, elsewhere: str = "") -> None:
        self._client = client
        self._pages = pages
        self._elsewhere = elsewhere

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
        if (reason := _find_refusal(scope["kerastudy.token"], scope["method"], scope["path"])) is not None:
            await _send_problem(send, 403, reason)
            return
        await self._forward(self._client, scope, receive, send)

    async def _forward(self, client: httpx.AsyncClient, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(name, value) for name, value in scope["headers"] if name.lower() not in _NOT_PASSED_ON]
        length = [(name, value) for name, value in scope["headers"] if name.lower() == b"content-length"]
        has_body = bool(length) or any(name.lower() == b"transfer-encoding" for name, _ in scope["headers"])
        # Not decoded: MLflow decodes it once, and so sees the path that the list of routes was compared with.
        target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        request = client.build_request(
            scope["method"],
            # Absolute: joined to the client's base, the path would get the prefix twice.
            httpx.URL("http://localhost").copy_with(raw_path=target),
            headers=[*headers, *length],
            content=_stream_body(receive) if has_body else None,
        )
        try:
            # Streamed: an artifact may be larger than memory.
            answer = await client.send(request, stream=True)
        except httpx.HTTPError:
            await _send_problem(send, 503, f"{_NO_ANSWER}; the service starts it again")
            return
        try:
            kept = [(name, value) for name, value in answer.headers.raw if name.lower() not in _NOT_PASSED_BACK]
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


def _find_refusal(token: Token, method: str, path: str) -> str | None:
    """Return why a token may not send a request to MLflow; None if it may."""
    route = path.removeprefix(MLFLOW)
    if is_read_only(method, route):
        return None if token.has_scope("read") else f'the token "{token.name}" may not read'
    if not token.has_scope("admin"):
        return f'the token "{token.name}" may read in MLflow, and change nothing there: use kerastudy\'s own verbs'
    if has_location(method, route):
        return "a location of files is never taken from a client: kerastudy makes its experiments and versions itself"
    return None


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
    if status == 503:
        headers.append((b"retry-after", b"3"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
