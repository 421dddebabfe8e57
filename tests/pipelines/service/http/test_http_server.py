"""Clients that mean harm or are broken, over real sockets: the service stays up and answers others at once."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time

import pytest
from served import detail, run_service, study_text

from pipelines.service.http import http_server
from tracking.store.study_queue import StudyQueue


@pytest.fixture(scope="module")
def unharmed(tmp_path_factory):
    """A service that many requests leave as it is."""
    with run_service(tmp_path_factory.mktemp("unharmed")) as running:
        yield running


@pytest.fixture(scope="module")
def owner(unharmed):
    """Header of a submitter to it."""
    return unharmed.token("ann")


def exchange(port, raw, *, wait_s=5.0):
    """Send bytes and return all that comes back until the other side closes or is silent."""
    with socket.create_connection(("127.0.0.1", port), timeout=wait_s) as connection:
        with contextlib.suppress(OSError):  # it may be closed while we still send
            connection.sendall(raw)
        received = b""
        with contextlib.suppress(OSError):
            while chunk := connection.recv(65536):
                received += chunk
                if b"\r\n\r\n" in received and b"HTTP/1.1 100" not in received:
                    connection.settimeout(0.3)
        return received


def is_well(service, who):
    assert service.client.get("/healthz").status_code == 200
    assert service.client.get("/v1/studies", headers=who).status_code == 200


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /v1/studies HTTP/1.1\r\nHost: testserver\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/studies HTTP/1.1\r\nHost: testserver\r\nContent-Length: 1e9\r\n\r\n",
        b"POST /v1/studies HTTP/1.1\r\nHost: testserver\r\nContent-Length: " + b"9" * 40 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: testserver\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /v1/studies HTTP/1.1\r\nHost: testserver\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFF\r\n",
        b"GET /v1/studies HTTP/1.1\r\n\r\n",
        b"GET /v1/studies HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: testserver\r\n\r\n",
        b"GET /v1/studies HTTP/1.1\r\nHost: testserver\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: testserver\r\n\r\n",
        b"GET /v1/studies HTTP/1.1\r\nHost: testserver\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
        b"CONNECT evil:80 HTTP/1.1\r\nHost: testserver\r\n\r\n",
        b"GET http://evil/ HTTP/1.1\r\nHost: testserver\r\n\r\n",
        b"GET /v1/studies HTTP/1.1\r\nHost: testserver\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    ],
)
def test_nonsense_is_refused(unharmed, owner, raw):
    """With a 4xx or a closed connection, and never with a success or a defect."""
    answer = exchange(unharmed.port, raw)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer[:200]
    is_well(unharmed, owner)


@pytest.mark.parametrize(
    "name", ["..", "%2e%2e", "..%2f..%2fetc%2fpasswd", "a%00b", "%c0%ae", "a/b", "%", "-a", "a" * 300]
)
@pytest.mark.parametrize("path", ["/v1/studies/{}", "/v1/studies/{}/logs", "/v1/studies/{}:export", "/v1/uploads/{}"])
def test_names_lead_nowhere(unharmed, owner, name, path):
    """A study's name is a name: dots, slashes and zero bytes in it find nothing, and no file is made."""
    head = f"Host: testserver\r\nAuthorization: {owner['Authorization']}\r\nConnection: close\r\n".encode()
    before = sorted(unharmed.home.folder.parent.rglob("*"))
    for method in (b"GET", b"POST", b"PUT"):
        target = path.format(name).encode()
        answer = exchange(
            unharmed.port, method + b" " + target + b" HTTP/1.1\r\n" + head + b"Content-Length: 0\r\n\r\n"
        )
        assert answer.startswith(b"HTTP/1.1 4"), (method, target, answer[:200])
    after = sorted(path for path in unharmed.home.folder.parent.rglob("*") if path.name != "uploads")
    assert [path for path in after if "kerastudy.db" not in path.name] == [
        path for path in before if "kerastudy.db" not in path.name and path.name != "uploads"
    ]


def test_thirty_megabytes_are_not_read(service, ann):
    """Announced or in chunks, they are refused early, and the memory of the service does not hold them."""
    head = f"POST /v1/studies HTTP/1.1\r\nHost: testserver\r\nAuthorization: {ann['Authorization']}\r\n".encode()
    assert b" 413 " in exchange(service.port, head + b"Content-Length: 30000000\r\n\r\n" + b"x" * 100_000)
    chunk = b"80000\r\n" + b"x" * 0x80000 + b"\r\n"
    assert b" 413 " in exchange(service.port, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 57)
    is_well(service, ann)
    assert StudyQueue(service.store).list() == ()


def test_a_hundred_slow_clients_do_not_matter(service, ann, monkeypatch):
    """Some send a byte at a time, half a body, or nothing: others get answers, and these are ended."""
    monkeypatch.setattr(http_server, "_HEADERS_S", 1.0)
    head = f"POST /v1/studies HTTP/1.1\r\nHost: testserver\r\nAuthorization: {ann['Authorization']}\r\n".encode()
    begin = [b"", b"GET /v1/st", b"GET / HTTP/1.1\r\nHost: tests", head + b"Content-Length: 500\r\n\r\nstudy: s"]
    slow = [socket.create_connection(("127.0.0.1", service.port), timeout=120) for _ in range(100)]
    for number, each in enumerate(slow):
        each.sendall(begin[number % len(begin)])
    ended = threading.Event()

    def dribble():
        while not ended.wait(0.2):
            for number, each in enumerate(slow):
                if 0 < number % len(begin) < 3:
                    with contextlib.suppress(OSError):
                        each.sendall(b"x")

    dribbling = threading.Thread(target=dribble)
    dribbling.start()
    try:
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            assert service.client.get("/v1/studies", headers=ann).status_code == 200
            time.sleep(0.05)
        closed = 0
        for number, each in enumerate(slow):
            if number % len(begin) < 3:
                each.settimeout(120)
                with contextlib.suppress(ConnectionError):
                    assert each.recv(10) == b""
                closed += 1
        assert closed == 75
    finally:
        ended.set()
        dribbling.join()
        for each in slow:
            each.close()
    is_well(service, ann)


def test_clients_that_go_leave_no_trace(service, ann, caplog):
    """Whoever leaves in the middle of a body does not fill the operator's log."""
    head = f" HTTP/1.1\r\nHost: testserver\r\nAuthorization: {ann['Authorization']}\r\n".encode()
    caplog.set_level(logging.INFO, "kerastudy.requests")
    lines = lambda: [record.getMessage() for record in caplog.records if "/v1/studies" not in record.getMessage()]  # noqa: E731
    for number in range(3):
        with socket.create_connection(("127.0.0.1", service.port)) as gone:
            gone.sendall(b"PUT /v1/uploads/a.csv" + head + b"Content-Length: 500\r\n\r\nx,y")
            while not list(service.home.folder.glob("uploads/.*")):
                time.sleep(0.01)
        while len(lines()) == number:
            time.sleep(0.01)
    assert lines() == ["PUT /v1/uploads/{name} 499"] * 3
    is_well(service, ann)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_followers_are_counted(service, ann):
    """Beyond so many streams the next one is refused, and those that go make room."""
    service.client.post("/v1/studies", content=study_text(), headers=ann)
    service.streams._most = 3
    request = f"GET /v1/studies/s/events HTTP/1.1\r\nHost: testserver\r\nAuthorization: {ann['Authorization']}\r\n\r\n"
    following = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(3)]
    for each in following:
        each.sendall(request.encode())
        assert b"200" in each.recv(200)
    deadline = time.monotonic() + 120
    while service.streams.count < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert b" 503 " in exchange(service.port, request.encode())
    for each in following:
        each.close()
    while service.streams.count and time.monotonic() < deadline:
        time.sleep(0.05)
    assert service.streams.count == 0


@pytest.mark.parametrize(
    "headers",
    [
        b"X: " + b"a" * 40_000,
        b"\r\n".join(b"X-%d: %s" % (number, b"a" * 1000) for number in range(40)),
        b"\r\n".join([b"X: y"] * 101),
    ],
)
def test_complete_headers_have_a_limit(unharmed, owner, headers):
    """Also those that come in one piece, which the web server would take; the connection ends."""
    head = f"GET /v1/studies HTTP/1.1\r\nHost: testserver\r\nAuthorization: {owner['Authorization']}\r\n".encode()
    answer = exchange(unharmed.port, head + headers + b"\r\n\r\n")
    assert answer.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 ")), answer[:200]
    assert b"connection: close" in answer.lower()
    is_well(unharmed, owner)


def test_a_long_address_has_the_limit_of_headers(unharmed, owner):
    """It counts as one of them; below the limit, headers pass."""
    ask = lambda target, more: unharmed.client.get(target, headers={**owner, **more})  # noqa: E731
    assert "32,768 bytes" in detail(ask("/v1/studies?x=" + "a" * 33_000, {}), 431)["detail"]
    assert ask("/v1/studies", {"X": "a" * 30_000}).status_code == 200
    assert ask("/v1/studies", {f"X-{number}": "y" for number in range(90)}).status_code == 200


LENGTHS = [
    b"Content-Length: 3\r\nContent-Length: 5", b"Content-Length: 3, 5", b"Content-Length: +3", b"Content-Length: 0x3",
    b"Content-Length: ", b"Transfer-Encoding: identity", b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding: xchunked", b"Transfer-Encoding : chunked", b"tRANSFER-eNCODING: cHuNkEd\r\ncONTENT-lENGTH: 3",
]  # fmt: skip


@pytest.mark.parametrize("length", LENGTHS)
def test_a_length_that_can_be_read_in_two_ways_ends_the_connection(unharmed, owner, length):
    """A proxy in front could take the rest for another request."""
    head = f"POST /v1/studies HTTP/1.1\r\nHost: testserver\r\nAuthorization: {owner['Authorization']}\r\n".encode()
    rest = b"0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: testserver\r\n\r\n"
    received = exchange(unharmed.port, head + length + b"\r\n\r\n" + rest)
    assert received.startswith(b"HTTP/1.1 400 ")
    assert received.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("chunk", [b"-3\r\nabc", b"0x3\r\nabc", b"3\nabc", b'3;a="\r\n"\r\nabc'])
def test_a_chunk_is_as_long_as_its_number_says(unharmed, owner, chunk):
    """Another way to write it ends the connection."""
    head = f"POST /v1/studies HTTP/1.1\r\nHost: testserver\r\nAuthorization: {owner['Authorization']}\r\n".encode()
    rest = b"\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: testserver\r\n\r\n"
    received = exchange(unharmed.port, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk + rest)
    assert received.startswith(b"HTTP/1.1 400 ")
    assert received.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("path", [b"/v1/studies", b"/healthz", b"/docs"])
def test_an_upgrade_is_ignored(unharmed, owner, path):
    """There is no websocket and no HTTP/2 in the clear: the request is answered as any other."""
    head = b"GET " + path + f" HTTP/1.1\r\nHost: testserver\r\nAuthorization: {owner['Authorization']}\r\n".encode()
    for kind in (b"websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13", b"h2c"):
        answer = exchange(unharmed.port, head + b"Connection: Upgrade\r\nUpgrade: " + kind + b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"upgrade:" not in answer.partition(b"\r\n\r\n")[0].lower()


def test_a_length_and_chunks_close_the_connection(unharmed, owner):
    """A proxy in front and this service could read two requests in one, so nothing more is read."""
    head = f"POST /v1/studies HTTP/1.1\r\nHost: testserver\r\nAuthorization: {owner['Authorization']}\r\n".encode()
    both = head + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    received = exchange(unharmed.port, both + b"GET /healthz HTTP/1.1\r\nHost: testserver\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 400 ")
    assert b"connection: close" in received.lower()
    assert received.count(b"HTTP/1.1 ") == 1


def test_a_client_that_reads_nothing_more_is_ended(service, ann, monkeypatch):
    """A follower that takes a byte now and then would hold its place for ever."""
    monkeypatch.setattr(http_server, "_UNREAD_S", 0.3)
    service.client.post("/v1/studies", content=study_text(), headers=ann)
    log = service.home.locate_study("s") / "study.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"x" * 20_000_000)
    request = f"GET /v1/studies/s/logs HTTP/1.1\r\nHost: testserver\r\nAuthorization: {ann['Authorization']}\r\n\r\n"
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", service.port))
        slow.sendall(request.encode())
        deadline = time.monotonic() + 120
        while service.streams.count == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        while service.streams.count and time.monotonic() < deadline:
            slow.recv(1)
            time.sleep(0.05)
        assert service.streams.count == 0
    is_well(service, ann)
