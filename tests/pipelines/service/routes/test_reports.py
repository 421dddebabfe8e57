"""The report of a study over HTTP, through the client of the command line."""

from __future__ import annotations

import pytest
from served import detail, run_service, study_text, submit

from pipelines.client.http import HttpClient
from pipelines.operations.compare import compare_studies
from search_spaces.errors import ConflictError, InputError
from tracking.reports.comparison import make_tables
from tracking.store.tokens import Tokens


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
    answer = service.client.get("/v1/studies/waits/report", headers=token)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"


def test_a_service_compares_studies(service, tmp_path):
    """The tables are those of the home, and the page is written on request; both name no place of the machine."""
    token = service.token("eve", "read")
    for name in ("one", "two"):
        submit(service, service.token(name), study_text(name))
    with HttpClient(f"http://127.0.0.1:{service.port}", token["Authorization"].removeprefix("Bearer ")) as client:
        found, page = client.compare(["one", "two"], tmp_path / "both.html", lambda step: None)
        there, no_page = client.compare(["one", "two"], None, lambda step: None)
        assert (found, no_page) == (there, None)
        assert found == make_tables(compare_studies(service.home, ["one", "two"]))
        assert [each["study"] for each in found.studies] == ["one", "two"]
        text = (tmp_path / "both.html").read_text(encoding="utf-8")
        assert page.bytes == len(text.encode())
        assert "<!doctype html>" in text.lower()
        assert str(service.home.folder) not in text
        with pytest.raises(InputError, match=r'no study "too" in this service; did you mean "two"'):
            client.compare(["one", "too"], tmp_path / "none.html", lambda step: None)
        with pytest.raises(InputError, match="two studies or more"):
            client.compare(["one", "one"], None, lambda step: None)
        assert not (tmp_path / "none.html").exists()
    many = {"study": [f"s{number}" for number in range(21)]}
    assert "at most 20" in detail(service.client.post("/v1/studies:compare", params=many, headers=token), 422)["detail"]


def test_comparisons_share_the_places_of_exports(service):
    """Each may load models: one account holds no more of them than it may."""
    token = service.token("ann")
    for name in ("one", "two"):
        submit(service, token, study_text(name))
    caller = Tokens(service.store).check(token["Authorization"].removeprefix("Bearer "))
    with service.models._slots.acquire(caller):
        answer = service.client.post("/v1/studies:compare", params={"study": ["one", "two"]}, headers=token)
        assert "ceilings.exports" in detail(answer, 429)["detail"]
