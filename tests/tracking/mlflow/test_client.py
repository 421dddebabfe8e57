"""Errors of MLflow, met for real, and what they mean for the outbox."""

import http.server
import os
import socket
import threading

import mlflow
import pytest

from tracking.mlflow import client as mlflow_connection


@pytest.fixture
def answering():
    """Start web servers that answer everything with one status and body."""
    servers = []

    def start(status, body):
        requests = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                requests.append(self.path)
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body.encode())

            do_POST = do_GET  # noqa: N815

            def log_message(self, *arguments):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}", requests

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def classify_error_at(uri):
    client = mlflow_connection.connect(uri)
    with pytest.raises(mlflow.MlflowException) as caught:
        client.create_experiment("x")
    return mlflow_connection.classify_error(caught.value)


def test_a_refused_connection_is_an_outage():
    """A server that is down costs no attempt."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert classify_error_at(f"http://127.0.0.1:{port}") == "outage"


def test_a_server_that_hangs_is_an_outage(monkeypatch):
    """A request that gets no answer ends by our timeout."""
    monkeypatch.setitem(mlflow_connection._SETTINGS, "MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        assert classify_error_at(f"http://127.0.0.1:{listening.getsockname()[1]}") == "outage"


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (503, "<html>starting</html>", "outage"),
        (429, '{"error_code": "REQUEST_LIMIT_EXCEEDED"}', "outage"),
        (401, "who are you", "unclear"),
        (403, '{"error_code": "PERMISSION_DENIED"}', "unclear"),
        (502, "<html>bad gateway</html>", "outage"),
        (500, '{"error_code": "INTERNAL_ERROR"}', "unclear"),
        (400, '{"error_code": "INVALID_PARAMETER_VALUE"}', "refused"),
    ],
)
def test_answers_are_classified(answering, status, body, expected):
    """What will pass is waited for, what the server will never take is set aside, the rest is tried for long."""
    address, requests = answering(status, body)
    assert classify_error_at(address) == expected
    assert len(requests) == 1, "the outbox retries, not the client"


def test_a_parameter_with_another_value_is_refused(tmp_path):
    """MLflow never takes a second value for a parameter."""
    client = mlflow_connection.connect(f"sqlite:///{tmp_path / 'deep' / 'mlflow.db'}")
    run = client.create_run(client.create_experiment("x", artifact_location=tmp_path.as_uri()))
    client.log_param(run.info.run_id, "p", 1)
    with pytest.raises(mlflow.MlflowException) as caught:
        client.log_param(run.info.run_id, "p", 2)
    assert mlflow_connection.classify_error(caught.value) == "refused"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(28, "No space left on device"), "outage"),
        (ConnectionResetError(), "outage"),
        (OSError(36, "File name too long"), "refused"),
        (FileNotFoundError(), "refused"),
        (ValueError(), "refused"),
    ],
)
def test_other_errors_are_classified(error, expected):
    """A full disk is waited for; a file that is gone is not."""
    assert mlflow_connection.classify_error(error) == expected


def test_a_connection_leaves_the_environment_as_it_was(tmp_path, monkeypatch):
    """MLflow writes its default into the environment, where it would redirect the next home of this process."""
    for before in (None, "sqlite:////elsewhere.db"):
        if before is None:
            monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        else:
            monkeypatch.setenv("MLFLOW_TRACKING_URI", before)
        mlflow_connection.connect(f"sqlite:///{tmp_path}/{before is None}.db")
        assert os.environ.get("MLFLOW_TRACKING_URI") == before
