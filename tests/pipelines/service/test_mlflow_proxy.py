"""Requests and answers pass between a browser and MLflow without what belongs to one side alone."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from pipelines.service.mlflow_proxy import MlflowProxy
from tracking.store.accounts import Identity


def forward(handle, *, path="/mlflow/", headers=(), body=None):
    """Return status, headers and body of the proxy's answer; without `handle`, of a service that runs no MLflow."""

    async def send_request():
        answers = []

        async def receive():
            return {"type": "http.request", "body": body or b"", "more_body": False}

        async def send(message):
            answers.append(message)

        scope = {"method": "GET" if body is None else "POST", "path": path, "raw_path": path.encode()}
        scope |= {"query_string": b"a=%2F", "headers": headers, "kerastudy.caller": Identity("a1", "ann", "read")}
        if handle is None:
            await MlflowProxy(None, None, "MLflow is elsewhere")(scope, receive, send)
        else:
            async with httpx.AsyncClient(transport=httpx.MockTransport(handle)) as client:
                await MlflowProxy(client, None)(scope, receive, send)
        return answers

    start, *rest = asyncio.run(send_request())
    return start["status"], dict(start["headers"]), b"".join(part["body"] for part in rest)


def test_credentials_do_not_reach_mlflow():
    """A token, a cookie and the browser's origin stay with the service; the query arrives as it was written."""
    seen = []

    def handle(request):
        seen.append(request)
        return httpx.Response(200, stream=httpx.ByteStream(b"page"))

    given = [(b"authorization", b"Bearer ks"), (b"cookie", b"a=b"), (b"origin", b"http://x"), (b"accept", b"text/html")]
    assert forward(handle, headers=given)[0] == 200
    [request] = seen
    assert request.headers["accept"] == "text/html"
    assert not {"authorization", "cookie", "origin"} & set(request.headers)
    assert request.url.raw_path == b"/mlflow/?a=%2F"


def test_cookies_do_not_reach_the_browser():
    """The answer is MLflow's, without its cookies and its name."""
    headers = [("set-cookie", "s=1"), ("server", "uvicorn"), ("etag", "7")]
    status, found, body = forward(lambda _: httpx.Response(404, headers=headers, stream=httpx.ByteStream(b"no")))
    assert (status, body) == (404, b"no")
    assert set(found) == {b"etag"}


def test_a_body_is_forwarded():
    """A search's filter arrives in full."""
    seen = []

    async def handle(request):
        seen.append(await request.aread())
        return httpx.Response(200, stream=httpx.ByteStream(b"{}"))

    path = "/mlflow/api/2.0/mlflow/runs/search"
    assert forward(handle, path=path, headers=[(b"content-length", b"2")], body=b"{}")[0] == 200
    assert seen == [b"{}"]


def fail(request):
    raise httpx.ConnectError("refused")


@pytest.mark.parametrize(
    ("handle", "path", "status", "text"),
    [(fail, "/mlflow/", 503, b"MLflow does not answer"), (None, "/mlflow/", 404, b"MLflow is elsewhere")],
)
def test_an_mlflow_that_is_away_is_a_problem_detail(handle, path, status, text):
    """The answer has the form of all errors of the service."""
    found, headers, body = forward(handle, path=path)
    assert (found, headers[b"content-type"]) == (status, b"application/problem+json")
    assert text in body


def test_the_address_without_a_slash_is_completed():
    """MLflow's pages have relative links, which need the slash."""
    status, headers, _ = forward(fail, path="/mlflow")
    assert (status, headers[b"location"]) == (307, b"/mlflow/")
