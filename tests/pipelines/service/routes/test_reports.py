"""The report of a study over HTTP, through the client of the command line."""

from __future__ import annotations

import pytest
from served import run_service, study_text, submit

from pipelines.client.http import HttpClient
from search_spaces.errors import ConflictError, InputError


@pytest.fixture
def service(tmp_path):
    with run_service(tmp_path) as running:
        yield running


def test_a_service_answers_with_the_report(service, tmp_path):
    """A study that waits has a report of that; an unknown one has none, and no file is written."""
    token = service.token("ann")
    submit(service, token, study_text("waits"))
    with HttpClient(f"http://127.0.0.1:{service.port}", token["Authorization"].removeprefix("Bearer ")) as client:
        written = client.write_report("waits", tmp_path / "report.html")
        page = (tmp_path / "report.html").read_text(encoding="utf-8")
        assert written.bytes == len(page.encode())
        assert "No trial is complete yet" in page
        assert str(tmp_path) not in page
        with pytest.raises(InputError, match="did you mean"):
            client.write_report("wait", tmp_path / "other.html")
        assert not (tmp_path / "other.html").exists()
        (tmp_path / "mine.html").write_text("mine")
        with pytest.raises(ConflictError, match="is no report"):
            client.write_report("waits", tmp_path / "mine.html")
        with pytest.raises(InputError, match="on the machine that holds the home"):
            client.compare(["waits", "other"], None, lambda step: None)
    answer = service.client.get("/v1/studies/waits/report", headers=token)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
