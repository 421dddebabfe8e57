"""The client of a service: where its token comes from, and how refusals come back."""

from __future__ import annotations

import json

import httpx
import pytest

from pipelines.client import http
from pipelines.client.http import HttpClient, login
from pipelines.queries.views import UploadedFile
from pipelines.study.load import check_document
from search_spaces.errors import InputError, KerastudyError
from search_spaces.yaml_document import make_document
from tracking.store.accounts import Identity

URL = "http://service:8080"


@pytest.fixture
def environ(tmp_path):
    return {"KERASTUDY_URL": f"{URL}/", "KERASTUDY_CONFIG": str(tmp_path)}


@pytest.fixture
def accept(monkeypatch):
    """Let every service accept every token."""
    monkeypatch.setattr(HttpClient, "read_identity", lambda self: Identity("a1", "ann", "submit"))


def test_a_stored_token_is_for_its_service_alone(environ, tmp_path, accept):
    """It is readable for this user only, and is not sent to another address."""
    login(URL, "ks_1", environ)
    login("http://other", "ks_2", environ)
    file = tmp_path / "kerastudy" / "tokens.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert json.loads(file.read_text()) == {URL: "ks_1", "http://other": "ks_2"}
    with HttpClient.from_environment(environ) as client:
        assert client._client.headers["authorization"] == "Bearer ks_1"
    with pytest.raises(InputError, match="there is no token for http://third: run kerastudy login"):
        HttpClient.from_environment({**environ, "KERASTUDY_URL": "http://third"})


def test_a_file_that_others_can_read_is_refused(environ, tmp_path, accept):
    """The message has the command that mends it."""
    login(URL, "ks_1", environ)
    file = tmp_path / "kerastudy" / "tokens.json"
    file.chmod(0o640)
    with pytest.raises(InputError, match=r"others can read .*tokens\.json.*chmod 600"):
        HttpClient.from_environment(environ)


def test_an_environment_without_a_service_names_none(environ):
    """Then the home is used; an address without a scheme is an error."""
    assert HttpClient.from_environment({**environ, "KERASTUDY_URL": " "}) is None
    with pytest.raises(InputError, match="KERASTUDY_URL: expected an address"):
        HttpClient.from_environment({**environ, "KERASTUDY_URL": "service:8080"})


@pytest.mark.parametrize(
    ("status", "content", "kind", "message"),
    [
        (401, {"detail": "a valid token is needed"}, InputError, "a valid token is needed; run kerastudy login"),
        (404, {"detail": "there is no study"}, InputError, "there is no study"),
        (503, {"detail": "MLflow does not answer"}, KerastudyError, "MLflow does not answer"),
        (502, "<html>bad gateway</html>", KerastudyError, "the service answered 502: <html>bad gateway"),
    ],
)
def test_a_refusal_is_the_error_of_the_command_line(status, content, kind, message):
    """What the user can mend is bad input; anything else, also from a proxy, is a failure of the service."""
    text = content if isinstance(content, str) else json.dumps(content)
    error = http._read_error(httpx.Response(status, text=text))
    assert type(error) is kind
    assert str(error).startswith(message)


def test_problems_keep_their_places():
    """File, line and column of a problem detail come back as a place."""
    problem = {"message": "unknown key", "path": "budgt", "file": "s.yaml", "line": 4, "column": 1}
    answer = httpx.Response(422, json={"detail": "s.yaml:4:1: budgt: unknown key", "errors": [problem]})
    assert str(http._read_error(answer)) == "s.yaml:4:1: budgt: unknown key"


def test_every_file_of_a_pattern_is_sent(environ, tmp_path, accept, monkeypatch):
    """Their new names stand in the order of the files; a named set stays."""
    login(URL, "ks_1", environ)
    for name in ("b", "a"):
        (tmp_path / f"{name}.csv").write_text(f"x,y\n{name},1\n")
    monkeypatch.setattr(HttpClient, "upload_file", lambda self, file: UploadedFile(f"uploads/{file.stem}.csv", 1, ""))
    with HttpClient.from_environment(environ) as client:
        for source, sent in (("*.csv", ["uploads/a.csv", "uploads/b.csv"]), ("b.csv", "uploads/b.csv")):
            written = {"study": "s", "data": {"source": source, "target": "y"}, "model": "mlp"}
            study = check_document(make_document(written, "s.yaml"), tmp_path)
            assert client.upload_data(study).spec.data.source == sent
        study = check_document(make_document({**written, "data": {"source": "sklearn:iris"}}, "s.yaml"), tmp_path)
        assert client.upload_data(study).spec.data.source == "sklearn:iris"
