"""Quotas of a service: refused submissions, studies that wait for room, and the usage that people see."""

from __future__ import annotations

import pytest
from served import detail, run_service, study_text, submit

from pipelines.workspace import quota


@pytest.fixture
def limited(tmp_path):
    """A service that allows two waiting studies and 5 kB for each submitter."""
    with run_service(tmp_path, quotas={"queued": 2, "submitter": 5000, "home": "1GB"}) as running:
        yield running


def test_a_submitter_may_have_so_many_waiting_studies(limited):
    """The third is refused and not stored; others, and the same study again, are not affected."""
    ann, bob = limited.token("ann"), limited.token("bob")
    for name in ("a", "b", "b"):
        assert submit(limited, ann, study_text(name)).status_code == 202
    answer = submit(limited, ann, study_text("c"))
    assert answer.status_code >= 400
    assert "2 of your studies wait" in answer.json()["detail"]
    detail(limited.client.get("/v1/studies/c", headers=ann), 404)
    assert submit(limited, bob, study_text("c")).status_code == 202


def test_a_submitter_whose_studies_are_too_large_is_refused(limited):
    """The message states the sizes; another submitter is not affected."""
    ann, bob = limited.token("ann"), limited.token("bob")
    assert submit(limited, ann, study_text("a")).status_code == 202
    folder = limited.home.locate_study("a")
    folder.mkdir(parents=True)
    (folder / "model").write_bytes(bytes(6000))
    limited.study_service.quotas._meter._next_s = 0.0
    answer = submit(limited, ann, study_text("b"))
    assert answer.status_code >= 400
    assert "your studies hold 6 KB of the 5 KB" in answer.json()["detail"]
    assert submit(limited, bob, study_text("b")).status_code == 202
    usage = limited.client.get("/v1/usage", headers=bob).json()
    assert [(each["submitter"], each["bytes"]) for each in usage["submitters"]] == [("ann", 6000)]
    assert usage["parts"]["studies"] == 6000
    assert usage["submitter_quota"] == 5000


def test_no_study_starts_in_a_full_home(tmp_path, monkeypatch):
    """Waiting studies state the reason, and submissions are refused."""
    monkeypatch.setattr(quota, "_LEAST_S", 0.0)
    monkeypatch.setattr(quota, "_SHARE", 0)
    with run_service(tmp_path, quotas={"home": "10MB"}) as service:
        ann = service.token("ann")
        assert submit(service, ann, study_text("a")).status_code == 202
        (service.home.folder / "large").write_bytes(bytes(10**7))
        service.supervisors.step()
        assert service.supervisors.running == ()
        shown = service.client.get("/v1/studies/a", headers=ann).json()
        assert (shown["state"], "quotas.home is 0.01 GB" in shown["reason"]) == ("queued", True)
        service.study_service.quotas._meter._next_s = 0.0
        assert "may: delete or archive" in submit(service, ann, study_text("b")).json()["detail"]
