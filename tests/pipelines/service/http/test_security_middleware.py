"""Who and what gets past the door: hosts, origins, sizes, tokens, each refused before anything is read."""

from __future__ import annotations

import base64
import itertools
import re
from types import SimpleNamespace

import anyio
import pytest
from served import study_text

from pipelines.service.http import security_middleware
from tracking.store.study_queue import StudyQueue
from tracking.store.tokens import Tokens


@pytest.fixture
def ann(service):
    return service.token("ann")


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer ks_000000000000_" + "A" * 43},
        {"Authorization": "Bearer ' OR 1=1 --"},
        {"Authorization": "Basic eDp5"},
        {"Authorization": "Bearer \u00e9".encode("latin-1")},
        {"Cookie": "token=x"},
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/studies"), ("POST", "/v1/studies"), ("GET", "/metrics"), ("GET", "/mlflow/"), ("GET", "/nothing")],
)
def test_nothing_goes_without_a_token(service, header, method, path):
    """Wrong, missing, malformed or of another kind, on every address, whether it exists or not."""
    answer = service.client.request(method, path, headers=header, content=study_text() if method == "POST" else None)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"]
    assert StudyQueue(service.store).list() == ()


def test_a_token_in_the_address_is_none(service, ann):
    """It would stand in logs."""
    token = ann["Authorization"].removeprefix("Bearer ")
    assert service.client.get("/v1/studies", params={"token": token, "access_token": token}).status_code == 401


def test_a_password_is_a_token_for_mlflow_alone(service, ann):
    """Browsers send it by themselves, also for pages of others, so the API does not take it."""
    token = ann["Authorization"].removeprefix("Bearer ")
    header = {"Authorization": "Basic " + base64.b64encode(f"x:{token}".encode()).decode()}
    assert service.client.get("/v1/studies", headers=header).status_code == 401
    assert service.client.get("/mlflow/x", headers=header).status_code == 404


@pytest.mark.parametrize("host", ["evil.com", "testserver.evil.com", "", "testserver:80:80", "[::1"])
def test_other_hosts_are_refused(service, ann, host):
    """A name that somebody else's page points here leads nowhere."""
    assert service.client.get("/v1/studies", headers={**ann, "Host": host}).status_code == 421


@pytest.mark.parametrize("host", ["testserver", "TESTSERVER", "testserver:8080"])
def test_its_own_host_is_not(service, ann, host):
    """With any port, since a proxy may have another."""
    assert service.client.get("/v1/studies", headers={**ann, "Host": host}).status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        {"Origin": "https://evil.com"},
        {"Origin": "null"},
        {"Origin": "http://testserver.evil.com"},
        {"Origin": "http://evil.com", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"},
    ],
)
def test_pages_of_others_are_refused(service, ann, header):
    """Even with a valid token: a browser may have sent it by itself."""
    for method in ("GET", "POST"):
        answer = service.client.request(method, "/v1/studies", headers={**ann, **header}, content=study_text())
        assert answer.status_code == 403
    assert StudyQueue(service.store).list() == ()


def test_a_link_may_be_followed(service, ann):
    """From a chat to MLflow's page, which changes nothing."""
    header = {**ann, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert service.client.get("/v1/studies", headers=header).status_code == 200
    assert service.client.post("/v1/studies", headers=header, content=study_text()).status_code == 403


def test_no_page_of_others_is_told_that_it_may(service, ann):
    """There is no answer that a browser would take for a permission."""
    answer = service.client.options(
        "/v1/studies", headers={**ann, "Origin": "http://testserver", "Access-Control-Request-Method": "POST"}
    )
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_body_is_no_larger_than_allowed(service, ann, monkeypatch):
    """Whether its size is announced rightly, wrongly, or not at all."""
    monkeypatch.setattr(security_middleware, "_MAX_BYTES", 1000)
    chunks = lambda: iter([b"x" * 600] * 3)  # noqa: E731
    assert service.client.post("/v1/studies", headers=ann, content=b"x" * 1001).status_code == 413
    assert service.client.post("/v1/studies", headers=ann, content=chunks()).status_code == 413
    assert StudyQueue(service.store).list() == ()


def test_headers_that_keep_others_out(service, ann):
    """No sniffing, no framing, no cache; and no word of what serves."""
    answer = service.client.get("/v1/studies", headers=ann)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cache-control"] == "no-store"
    assert "server" not in answer.headers


def test_what_mlflow_answers_is_not_shared(service, ann):
    """An answer of MLflow without a word on caching is for its reader alone; a script of its page may be kept."""
    told = {}

    async def mlflow(scope, receive, send):
        headers = [(b"cache-control", b"public, max-age=9")] if scope["path"].endswith(".js") else []
        await send({"type": "http.response.start", "status": 200, "headers": headers})

    async def read(path):
        async def send(message):
            told[path] = [value for name, value in message["headers"] if name == b"cache-control"]

        headers = [(b"host", b"testserver"), (b"authorization", ann["Authorization"].encode())]
        scope = {"type": "http", "method": "GET", "path": path, "headers": headers}
        await security_middleware.SecurityMiddleware(mlflow, service.app._callers, ["testserver"], None)(
            scope, None, send
        )

    for path in ("/mlflow/runs", "/mlflow/main.js"):
        anyio.run(read, path)
    assert told == {"/mlflow/runs": [b"private, no-cache"], "/mlflow/main.js": [b"public, max-age=9"]}


def test_a_slow_body_ends(service, ann, monkeypatch):
    """One that stops in the middle is answered and dropped."""
    monkeypatch.setattr(security_middleware, "_CHUNK_S", 0.2)
    sent = []

    async def send():
        async def receive():
            if not sent_body:
                sent_body.append(1)
                return {"type": "http.request", "body": b"study: s\n", "more_body": True}
            await anyio.sleep(60)
            raise AssertionError

        async def send(message):
            sent.append(message)

        sent_body = []
        headers = [(b"host", b"testserver"), (b"authorization", ann["Authorization"].encode())]
        scope = {
            "type": "http", "method": "POST", "path": "/v1/studies", "raw_path": b"/v1/studies", "query_string": b"",
            "headers": headers, "http_version": "1.1", "scheme": "http", "server": ("testserver", 80),
            "client": ("127.0.0.1", 1), "root_path": "",
        }  # fmt: skip
        with anyio.fail_after(10):
            await service.app(scope, receive, send)

    anyio.run(send)
    assert sent[0]["status"] == 408


@pytest.mark.parametrize(("removes", "status"), [(True, 401), (False, 201)])
def test_a_token_that_is_removed_while_a_body_arrives(service, monkeypatch, removes, status):
    """What it sent is not kept, as if it had been removed before."""
    monkeypatch.setattr(security_middleware, "_RECHECK_S", 0.0)
    tokens = Tokens(service.store)
    header = {"Authorization": f"Bearer {tokens.create('eve', 'submit')}"}

    def send():
        yield b"a,b\n"
        if removes:
            tokens.remove("eve")
        yield b"1,2\n"

    answer = service.client.put("/v1/uploads/rows.csv", headers=header, content=send())
    assert answer.status_code == status
    assert len([*service.home.uploads.glob("*.csv")]) == (status == 201)


@pytest.mark.parametrize(
    ("limit", "part", "arrives"),
    [
        (10**9, b"x", False),  # an upload, a byte in ten seconds
        (10**9, b"x" * 9_000, False),
        (10**9, b"x" * 11_000, True),  # 1.1 kB a second, for hours
        (10**6, b"x" * 11_000, False),  # a study file has a minute
    ],
)
def test_a_body_is_no_slower_than_allowed(monkeypatch, limit, part, arrives):
    """Parts that come now and then would last for years; a slow line has the time that it needs."""
    clock = itertools.count(0, 10)  # of two readings, the second is ten seconds later
    monkeypatch.setattr(security_middleware, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    sent = []

    async def read():
        async def receive():
            return {"type": "http.request", "body": part, "more_body": True}

        async def send(message):
            sent.append(message)

        answer = security_middleware._SecuredResponse(send, "/v1/uploads/a.csv", "r")
        body = security_middleware._LimitedBody(receive, limit, answer, anyio.lowlevel.checkpoint)
        for _ in range(50):
            await body.receive()

    if arrives:
        anyio.run(read)
    else:
        with pytest.raises(security_middleware._BodyError, match="did not arrive in time"):
            anyio.run(read)
    assert [message["status"] for message in sent if "status" in message] == [408] * (not arrives)


def test_a_header_given_twice_counts_as_none():
    """Two hosts or two tokens: whoever reads the other one would be led astray."""
    assert (
        security_middleware._read_headers({"headers": [(b"host", b"testserver"), (b"Host", b"evil")]})["host"] == "\0"
    )


@pytest.mark.parametrize("given", [None, "", "abc-1.2_3", "a b", "x" * 65, "\\x1b[2J"])
def test_every_answer_has_a_request_id(service, ann, given):
    """The client's own where it is plain text, a new one otherwise; also on refusals."""
    header = {} if given is None else {"X-Request-Id": given}
    for who in (ann, {}):
        found = service.client.get("/v1/studies", headers={**who, **header}).headers["x-request-id"]
        assert found == given if given == "abc-1.2_3" else re.fullmatch("[0-9a-f]{32}", found)
