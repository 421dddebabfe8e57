"""Requests and answers pass between a browser and MLflow without what belongs to one side alone."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from pipelines.service.mlflow.proxy import MlflowProxy
from pipelines.service.mlflow.request_turns import RequestTurns
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


def test_mlflow_s_page_leaves_out_what_is_not_offered():
    """Our files come before its own script, and are there; another page is MLflow's to the last byte."""
    page = b'<html><head><script src="main.js"></script></head></html>'

    def handle(_):
        return httpx.Response(200, headers={"etag": "7"}, stream=httpx.ByteStream(page))

    status, headers, body = forward(handle)
    assert (status, headers[b"content-length"]) == (200, str(len(body)).encode())
    assert b"etag" not in headers  # of the page without our files
    assert body.index(b"/mlflow/kerastudy.js") < body.index(b"main.js")
    assert forward(handle, path="/mlflow/static-files/main.js")[2] == page
    for name, media_type in (("css", b"text/css"), ("js", b"text/javascript")):
        status, headers, body = forward(handle, path=f"/mlflow/kerastudy.{name}")
        assert (status, headers[b"content-type"].split(b";")[0]) == (200, media_type)
        assert b"assistant" in body


@pytest.mark.parametrize(
    ("path", "wanted", "sent"),
    [
        ("/mlflow/ajax-api/2.0/mlflow/runs/search", 100, 1000),  # the UI counts what it has loaded
        ("/mlflow/ajax-api/2.0/mlflow/runs/search", 5, 5),
        ("/mlflow/api/2.0/mlflow/runs/search", 100, 100),  # a program gets what it asks for
    ],
)
def test_the_ui_loads_a_study_s_runs_at_once(path, wanted, sent):
    """All else of the search stays."""
    seen = []

    def handle(request):
        seen.append(json.loads(request.content))
        return httpx.Response(200, stream=httpx.ByteStream(b"{}"))

    asked = {"experiment_ids": ["1"], "max_results": wanted}
    body = json.dumps(asked).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    assert forward(handle, path=path, body=body, headers=headers)[0] == 200
    assert seen == [{**asked, "max_results": sent}]


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        (b"[1]", "a JSON object, got list"),
        (b"null", "a JSON object, got NoneType"),
        (b"", "got no JSON"),
        (b"{", "got no JSON"),
        (b"\xff\xfe\xfa", "got no JSON"),
        (b'{"a": NaN}', "NaN is no number"),
        (b'{"a":' * 10_000, "nested deeper"),
    ],
)
@pytest.mark.parametrize("path", ["/mlflow/graphql", "/mlflow/ajax-api/2.0/mlflow/runs/search"])
def test_a_body_that_is_no_object_is_refused(path, body, hint):
    """MLflow would fail at it with status 500."""
    status, _, answer = forward(lambda _: pytest.fail("forwarded"), path=path, body=body)
    assert status == 422
    assert hint in json.loads(answer)["detail"]


@pytest.mark.parametrize("path", ["/mlflow/graphql", "/mlflow/graphql/"])
def test_graphql_is_what_mlflow_s_pages_send(path):
    """Another query is refused with its place; the pages' reach MLflow with its variables alone."""
    status, _, answer = forward(lambda _: pytest.fail("forwarded"), path=path, body=b'{"query": "{ __schema"}')
    assert status == 422
    assert "query: 1:11: Syntax Error" in json.loads(answer)["detail"]
    seen = []

    def handle(request):
        seen.append(json.loads(request.content))
        return httpx.Response(200, stream=httpx.ByteStream(b"{}"))

    query = "{ mlflowGetExperiment { experiment { name } } }"
    body = json.dumps({"query": query, "extensions": {"x": 1}}).encode()
    assert forward(handle, path=path, body=body)[0] == 200
    assert seen == [{"query": query, "variables": None, "operationName": None}]


def test_a_failure_of_mlflow_is_a_problem_detail():
    """Its page of status 500 becomes 502; an error in JSON is passed on, since MLflow's client reads it."""
    page = {"content-type": "text/html"}
    status, headers, body = forward(lambda _: httpx.Response(500, headers=page, stream=httpx.ByteStream(b"<h1>")))
    assert (status, headers[b"content-type"]) == (502, b"application/problem+json")
    assert "mlflow-server.log" in json.loads(body)["detail"]
    told = {"content-type": "application/json"}
    assert forward(lambda _: httpx.Response(500, headers=told, stream=httpx.ByteStream(b"{}")))[::2] == (500, b"{}")


def test_slow_readers_of_one_account_hold_some_of_mlflow():
    """A download that stands still takes a thread of MLflow; beyond so many the account's next request is refused."""

    async def run():
        stands, answers = asyncio.Event(), []

        async def stand():
            yield b"x"
            await stands.wait()

        proxy_of = httpx.MockTransport(lambda _: httpx.Response(200, stream=_Stream(stand())))
        async with httpx.AsyncClient(transport=proxy_of) as client:
            proxy = MlflowProxy(client, None)
            proxy._turns = RequestTurns(2, patience_s=0.05)

            async def ask(who):
                begun = asyncio.Event()

                async def send(message):
                    answers.extend([message["status"]] if "status" in message else [])
                    begun.set()

                scope = {"method": "GET", "path": "/mlflow/health", "raw_path": b"/mlflow/health", "query_string": b""}
                scope |= {"headers": [], "kerastudy.caller": Identity(who, who, "read")}
                task = asyncio.create_task(proxy(scope, lambda: None, send))
                await begun.wait()
                return task

            tasks = [await ask(who) for who in ("ann", "ann", "ann", "bob")]
            assert answers == [200, 200, 429, 200]
            stands.set()
            await asyncio.gather(*tasks)

    asyncio.run(run())


class _Stream(httpx.AsyncByteStream):
    def __init__(self, parts):
        self._parts = parts

    async def __aiter__(self):
        async for part in self._parts:
            yield part
