"""Owners of studies and registered models: others are refused, except admins."""

from __future__ import annotations

import json

import pytest
from served import detail, run_service, study_text, submit

from pipelines.operations.promote import PromotionResult
from pipelines.service.studies import model_service
from tracking.store.accounts import Accounts
from tracking.store.study_queue import StudyQueue

PROMOTED = PromotionResult("a", 0, "house-prices", "champion", True, "1", "", None, "")


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


def test_an_owner_grants_a_name_to_another(service, ann, bob, admin, monkeypatch):
    """The other one registers and promotes under it until the grant is taken back; a grant is not passed on."""
    monkeypatch.setattr(model_service, "promote_trial", lambda *_, **options: PROMOTED)
    monkeypatch.setattr(model_service.StudyReader, "find_complete_trial", lambda *_: 0)
    submit(service, ann, register("a", "house-prices"))
    put = lambda who, name: service.client.put(f"/v1/models/house-prices/grants/{name}", headers=who)  # noqa: E731
    detail(put(bob, "bob"), 403)
    detail(put(ann, "nobody"), 404)
    detail(put(ann, "ann"), 409)
    granted = put(ann, "bob").json()
    assert (granted["owner"], [each["submitter"] for each in granted["grants"]]) == ("ann", ["bob"])
    assert submit(service, bob, register("b", "house-prices")).status_code == 202
    assert service.client.post("/v1/studies/b:promote", headers=bob).status_code == 200
    detail(put(bob, "root"), 403)
    assert service.client.get("/v1/models", headers=bob).json() == [granted]
    assert service.client.delete("/v1/models/house-prices/grants/bob", headers=ann).json()["grants"] == []
    detail(service.client.delete("/v1/models/house-prices/grants/bob", headers=ann), 404)
    detail(service.client.post("/v1/studies/b:promote", headers=bob), 403)
    detail(submit(service, bob, register("c", "house-prices")), 409)


@pytest.mark.long
def test_a_protected_alias_is_moved_by_admins_and_by_grant(tmp_path, monkeypatch):
    """An owner moves other aliases; only an admin grants the protected ones."""
    monkeypatch.setattr(model_service, "promote_trial", lambda *_, **options: PROMOTED)
    monkeypatch.setattr(model_service.StudyReader, "find_complete_trial", lambda *_: 0)
    with run_service(tmp_path, protected_aliases=["champion"]) as service:
        ann, root = service.token("ann"), service.token("root", "admin")
        submit(service, ann, register("a", "house-prices"))
        promote = lambda who, **params: service.client.post(  # noqa: E731
            "/v1/studies/a:promote", params=params, headers=who
        )
        refused = detail(promote(ann), 403)["detail"]
        assert refused.endswith("kerastudy model grant house-prices ann --protected")
        assert promote(ann, alias="staging").status_code == 200
        assert promote(root).status_code == 200
        grant = "/v1/models/house-prices/grants/ann?protected=true"
        detail(service.client.put(grant, headers=ann), 403)
        assert service.supervisors._make_request("a", "run").withheld_aliases == ("champion",)
        assert service.client.put(grant, headers=root).status_code == 200
        assert promote(ann).status_code == 200
        assert service.supervisors._make_request("a", "run").withheld_aliases == ()


def test_a_grant_ends_with_its_account(service, ann, bob, admin):
    """A new account of the same name has none."""
    submit(service, ann, register("a", "house-prices"))
    service.client.put("/v1/models/house-prices/grants/bob", headers=ann)
    Accounts(service.store).remove(Accounts(service.store).get("bob"))
    assert service.client.get("/v1/models", headers=ann).json()[0]["grants"] == []
    detail(submit(service, service.token("bob"), register("b", "house-prices")), 409)
