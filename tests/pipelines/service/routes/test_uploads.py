"""Uploads are listed and removed by their owners and admins, and kept while a study names them."""

from __future__ import annotations

from served import detail, study_text, submit


def test_an_owner_removes_its_uploads(service, ann, bob, admin, reader):
    """The same content of two is one file, which goes with the last of them; others do not see it."""
    put = lambda who: service.client.put("/v1/uploads/a.csv", content=b"x,y\n1,2\n", headers=who)  # noqa: E731
    source = put(ann).json()["source"]
    assert put(bob).json()["source"] == source
    listed = service.client.get("/v1/uploads", headers=ann).json()
    assert [(each["source"], each["owner"], each["bytes"], each["studies"]) for each in listed] == [
        (source, "ann", 8, [])
    ]
    assert service.client.get("/v1/uploads", headers=reader).json() == []
    assert [each["owner"] for each in service.client.get("/v1/uploads", headers=admin).json()] == ["ann", "bob"]
    name = source.removeprefix("uploads/")
    detail(service.client.delete(f"/v1/uploads/{name}", headers=reader), 403)
    assert service.client.delete(f"/v1/uploads/{name}", headers=ann).status_code == 204
    detail(service.client.delete(f"/v1/uploads/{name}", headers=ann), 404)
    assert (service.home.folder / "uploads" / name).exists()
    assert service.client.delete(f"/v1/uploads/{name}", headers=admin).status_code == 204
    assert not (service.home.folder / "uploads" / name).exists()


def test_an_upload_of_a_living_study_is_kept(service, ann):
    """Until the study has ended; the answer names it."""
    source = service.client.put("/v1/uploads/a.csv", content=b"x,y\n1,2\n", headers=ann).json()["source"]
    assert submit(service, ann, study_text("s").replace("sklearn:breast_cancer", source)).status_code == 202
    assert service.client.get("/v1/uploads", headers=ann).json()[0]["studies"] == ["s"]
    name = source.removeprefix("uploads/")
    assert (
        "while a study names it: s;" in detail(service.client.delete(f"/v1/uploads/{name}", headers=ann), 409)["detail"]
    )
    service.client.post("/v1/studies/s:cancel", headers=ann)
    assert service.client.delete(f"/v1/uploads/{name}", headers=ann).status_code == 204


def test_a_submitters_priority_has_a_ceiling(service, ann, admin):
    """The answer names the operator's key; an admin has no ceiling."""
    refused = submit(service, ann, study_text(), params={"priority": 1})
    assert "(ceilings.priority)" in detail(refused, 403)["detail"]
    assert submit(service, ann, study_text(), params={"priority": -5}).status_code == 202
    assert submit(service, admin, study_text("t"), params={"priority": 100}).status_code == 202
