"""Deletion and archive over HTTP: by owners and admins only."""

from __future__ import annotations

import pytest
from served import detail, study_text, submit

VERBS = ("DELETE", "/v1/studies/s"), ("POST", "/v1/studies/s:archive"), ("POST", "/v1/studies/s:unarchive")


@pytest.fixture(autouse=True)
def _submitted(service, ann):
    assert submit(service, ann, study_text()).status_code == 202


def names(service, who, **params):
    return [each["name"] for each in service.client.get("/v1/studies", headers=who, params=params).json()["studies"]]


@pytest.mark.parametrize(("method", "path"), VERBS)
def test_others_may_not(method, path, service, bob, reader):
    """Another submitter and a reader are refused, and the study stays as it is."""
    for who in (bob, reader):
        detail(service.client.request(method, path, headers=who), 403)
    assert names(service, reader) == ["s"]


def test_an_owner_deletes_a_study_and_the_name_is_free(service, ann, bob, monkeypatch):
    """The study is gone, with its name: another submitter may take it."""
    forgotten = []
    monkeypatch.setattr(service.models, "forget", forgotten.append)
    answer = service.client.delete("/v1/studies/s", headers=ann)
    assert answer.status_code == 200, answer.text
    assert forgotten == ["s"]  # its model, which a process may keep
    assert answer.json()["study"] == "s"
    detail(service.client.get("/v1/studies/s", headers=ann), 404)
    assert submit(service, bob, study_text()).status_code == 202


def test_an_archived_study_is_listed_on_request(service, ann, admin):
    """A study that has not ended is refused; an archived one is hidden, and can still be shown."""
    assert "s is queued" in detail(service.client.post("/v1/studies/s:archive", headers=ann), 409)["detail"]
    service.client.post("/v1/studies/s:cancel", headers=ann)
    assert service.client.post("/v1/studies/s:archive", headers=ann).json()["is_archived"]
    assert names(service, ann) == []
    assert names(service, ann, archived="true") == ["s"]
    assert service.client.get("/v1/studies/s", headers=ann).json()["archived"]
    assert not service.client.post("/v1/studies/s:unarchive", headers=admin).json()["is_archived"]
    assert names(service, ann) == ["s"]
