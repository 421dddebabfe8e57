"""Owners of studies and registered models: others are refused, except admins."""

from __future__ import annotations

import json

import pytest
from served import detail, study_text, submit

from tracking.store.study_queue import StudyQueue


@pytest.mark.parametrize("verb", ["pause", "stop", "cancel", "resume", "promote"])
def test_a_study_is_its_submitters_to_control(service, ann, bob, reader, verb):
    """Others are refused, an admin is not, and a reader may not even with its own name."""
    submit(service, ann, study_text())
    for other in (bob, reader):
        detail(service.client.post(f"/v1/studies/s:{verb}", headers=other), 403)
    assert StudyQueue(service.store).get("s").state == "queued"


def register(name, under):
    return study_text(name) + f"export: {{register: {under}}}\n"


def test_a_registered_models_name_belongs_to_its_first_submitter(service, ann, bob, admin):
    """Another submitter can neither name it nor call a study by it; nothing is stored; its owner and admins can."""
    assert submit(service, ann, register("a", "house-prices")).status_code == 202
    refused = detail(submit(service, bob, register("b", "house-prices")), 409)
    assert "a registered model of ann" in refused["detail"]
    assert refused["errors"][0]["line"] == 5
    assert "set export.register" in detail(submit(service, bob, study_text("house-prices")), 409)["detail"]
    assert [each.name for each in StudyQueue(service.store).list()] == ["a"]
    assert submit(service, ann, register("c", "house-prices")).status_code == 202
    assert submit(service, admin, register("d", "house-prices")).status_code == 202


def test_a_refused_submission_claims_no_name(service, ann, bob):
    """A file that is refused leaves its names to others."""
    submit(service, ann, study_text("a"))
    detail(submit(service, bob, register("a", "fresh")), 409)
    assert submit(service, ann, register("b", "fresh")).status_code == 202


@pytest.mark.parametrize("force", ["true", "false"])
def test_nobody_promotes_over_anothers_model(service, ann, bob, admin, force):
    """A study that an admin let register under another's name is not promoted there by its own submitter."""
    submit(service, ann, register("a", "house-prices"))
    submit(service, bob, study_text("b"))
    queue = StudyQueue(service.store)
    document = json.loads(queue.get("b").document) | {"export": {"register": "house-prices"}}
    queue.amend("b", json.dumps(document), queue.get("b").digest)
    answer = service.client.post("/v1/studies/b:promote", params={"force": force}, headers=bob)
    assert "a registered model of ann" in detail(answer, 403)["detail"]


def test_a_name_made_anew_is_somebody_else(service, ann, admin):
    """Whoever has a removed name controls nothing of the first one: no study, no key, no registered name."""
    keyed = {"Idempotency-Key": "k"}
    submit(service, ann, register("s", "wine"), headers=keyed)
    assert service.client.delete("/v1/tokens/ann", headers=admin).status_code == 204
    heir = service.token("ann")
    detail(service.client.post("/v1/studies/s:pause", headers=heir), 403)
    assert "a study of ann" in detail(submit(service, heir, study_text("s", 9)), 409)["detail"]
    assert "a registered model of ann" in detail(submit(service, heir, register("t", "wine")), 409)["detail"]
    # The same key is a new request; its study is the predecessor's still.
    detail(submit(service, heir, register("s", "wine"), headers=keyed), 409)
