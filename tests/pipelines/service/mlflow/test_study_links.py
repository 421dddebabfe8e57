"""Where studies are seen in an MLflow elsewhere; tests/test_service.py has the service's own, in a browser."""

import asyncio
import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from served import study_text

from pipelines.service.mlflow.proxy import MlflowProxy
from pipelines.service.mlflow.study_links import MlflowPages, make_external_client


class Server(BaseHTTPRequestHandler):
    """Server that answers a request for an experiment as MLflow's does: `answers` are status and number."""

    answers = (200, "7")
    requests: list = []  # noqa: RUF012  # of the one server of a test

    def do_GET(self):
        """Answer."""
        self.requests.append((self.path, self.headers.get("Authorization")))
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
    monkeypatch.setattr(Server, "requests", [])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/base"
    server.shutdown()
    server.server_close()


def led(reader, address, base, name="s", environ=None):
    """Return status, location and body of the answer to a request for a study's page."""

    async def send():
        answers = []

        async def send(message):
            answers.append(message)

        async with make_external_client(address, environ or {}) as client:
            proxy = MlflowProxy(None, MlflowPages(reader, client, base), "")
            await proxy({"path": f"/mlflow/studies/{name}"}, None, send)
        return answers

    start, body = asyncio.run(send())
    return start["status"], dict(start["headers"]).get(b"location", b"").decode(), body["body"].decode()


@pytest.fixture
def reader(service):
    service.client.post("/v1/studies", content=study_text(), headers=service.token("ann"))
    return service.study_service.reader


def test_browsers_are_led_to_the_address_that_they_can_reach(reader, elsewhere):
    """MLflow is reached at its address with its password, and browsers at the other."""
    environ = {"MLFLOW_TRACKING_USERNAME": "ann", "MLFLOW_TRACKING_PASSWORD": "secret"}
    status, location, _ = led(reader, elsewhere, "https://mlflow.example.org", environ=environ)
    assert status == 307
    assert location.startswith("https://mlflow.example.org/#/experiments/7/runs?viewStateShareKey=")
    [(path, authorization)] = Server.requests
    assert path == "/base/api/2.0/mlflow/experiments/get-by-name?experiment_name=s"
    assert authorization == f"Basic {base64.b64encode(b'ann:secret').decode()}"


def test_a_token_for_mlflow_is_sent(reader, elsewhere):
    """As MLflow's own client sends it."""
    led(reader, elsewhere, "", environ={"MLFLOW_TRACKING_TOKEN": "t"})
    assert Server.requests[0][1] == "Bearer t"


@pytest.mark.parametrize(
    ("answer", "status", "detail"), [(404, 404, "no records of s yet"), (500, 502, "with status 500")]
)
def test_an_unknown_experiment_is_an_error(reader, elsewhere, monkeypatch, answer, status, detail):
    """MLflow has no records of a study that waits; and it may be broken itself."""
    monkeypatch.setattr(Server, "answers", (answer, ""))
    assert led(reader, elsewhere, "")[0] == status
    assert detail in led(reader, elsewhere, "")[2]


def test_an_mlflow_that_is_away_is_said_to_be(reader):
    """With the status for a later attempt."""
    status, _, body = led(reader, "http://127.0.0.1:9", "")
    assert (status, "does not answer" in body) == (503, True)
