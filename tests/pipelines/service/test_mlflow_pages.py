"""Where studies are seen in an MLflow elsewhere; tests/test_service.py has the service's own, in a browser."""

import asyncio
import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from served import study_text

from pipelines.service.addresses import find_mlflow_url
from pipelines.service.config import ServiceSpec
from pipelines.service.mlflow_pages import MlflowPages, make_external_client
from pipelines.service.mlflow_proxy import MlflowProxy


class Server(BaseHTTPRequestHandler):
    """Answers as MLflow's server does when it is asked for an experiment: `answers` are status and number."""

    answers = (200, "7")
    asked: list = []  # noqa: RUF012  # of the one server of a test

    def do_GET(self):
        """Answer."""
        self.asked.append((self.path, self.headers.get("Authorization")))
        status, number = self.answers
        body = json.dumps({"experiment": {"experiment_id": number}}).encode()
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *given):
        """Say nothing."""


@pytest.fixture
def elsewhere(monkeypatch):
    """The address of such a server."""
    monkeypatch.setattr(Server, "asked", [])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/base"
    server.shutdown()
    server.server_close()


def led(reader, address, base, name="s", environ=None):
    """Return status, location and body of the answer to somebody who wants to see a study."""

    async def ask():
        answers = []

        async def send(message):
            answers.append(message)

        async with make_external_client(address, environ or {}) as client:
            proxy = MlflowProxy(None, MlflowPages(reader, client, base), "")
            await proxy({"path": f"/mlflow/studies/{name}"}, None, send)
        return answers

    start, body = asyncio.run(ask())
    return start["status"], dict(start["headers"]).get(b"location", b"").decode(), body["body"].decode()


@pytest.fixture
def reader(service):
    service.client.post("/v1/studies", content=study_text(), headers=service.token("ann"))
    return service.study_service.reader


def test_browsers_are_led_to_the_address_that_they_can_reach(reader, elsewhere):
    """MLflow is asked below its own address, with its own password, and seen at the other."""
    environ = {"MLFLOW_TRACKING_USERNAME": "ann", "MLFLOW_TRACKING_PASSWORD": "secret"}
    status, location, _ = led(reader, elsewhere, "https://mlflow.example.org", environ=environ)
    assert status == 307
    assert location.startswith("https://mlflow.example.org/#/experiments/7/runs?viewStateShareKey=")
    [(path, authorization)] = Server.asked
    assert path == "/base/api/2.0/mlflow/experiments/get-by-name?experiment_name=s"
    assert authorization == f"Basic {base64.b64encode(b'ann:secret').decode()}"


def test_a_token_for_mlflow_is_sent(reader, elsewhere):
    """As MLflow's own client sends it."""
    led(reader, elsewhere, "", environ={"MLFLOW_TRACKING_TOKEN": "t"})
    assert Server.asked[0][1] == "Bearer t"


@pytest.mark.parametrize(
    ("answer", "status", "said"), [(404, 404, "no records of s yet"), (500, 502, "with status 500")]
)
def test_what_mlflow_does_not_know_is_said(reader, elsewhere, monkeypatch, answer, status, said):
    """It has not been told of a study that waits; and it may be broken itself."""
    monkeypatch.setattr(Server, "answers", (answer, ""))
    assert led(reader, elsewhere, "")[0] == status
    assert said in led(reader, elsewhere, "")[2]


def test_an_mlflow_that_is_away_is_said_to_be(reader):
    """With a status that says to ask again."""
    status, _, body = led(reader, "http://127.0.0.1:9", "")
    assert (status, "does not answer" in body) == (503, True)


def test_a_password_in_the_address_is_not_shown():
    """`MLFLOW_TRACKING_URI` may hold one; an address for browsers that is written out wins."""
    assert find_mlflow_url(ServiceSpec(), "http://ann:secret@mlflow:5000") == "http://mlflow:5000"
    assert find_mlflow_url(ServiceSpec(mlflow_url="https://m"), "http://mlflow:5000") == "https://m"
    assert find_mlflow_url(ServiceSpec(), "") == ""
    assert find_mlflow_url(ServiceSpec(mlflow_url="https://m"), "") == ""  # the service runs one itself, seen below it
