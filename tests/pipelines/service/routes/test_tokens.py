"""Routes of tokens, which only an admin may use."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from served import detail, run_service


def test_tokens_are_an_admins_matter(service, admin, ann):
    """Made, listed without secrets, removed; whoever is not an admin is refused."""
    made = service.client.post("/v1/tokens", json={"name": "new", "running_trials": 2}, headers=admin)
    assert made.status_code == 201
    new = {"Authorization": f"Bearer {made.json()['token']}"}
    assert service.client.get("/v1/me", headers=new).json()["running_trials"] == 2
    listed = service.client.get("/v1/tokens", headers=admin)
    assert {each["name"] for each in listed.json()} == {"root", "ann", "new"}
    assert made.json()["token"].rpartition("_")[2] not in listed.text
    assert service.client.delete("/v1/tokens/new", headers=admin).status_code == 204
    detail(service.client.get("/v1/me", headers=new), 401)
    detail(service.client.delete("/v1/tokens/new", headers=admin), 404)
    detail(service.client.post("/v1/tokens", json={"name": "ann"}, headers=admin), 409)
    assert "token list --mine" in detail(service.client.get("/v1/tokens", headers=ann), 403)["detail"]
    detail(service.client.delete("/v1/tokens/root", headers=ann), 403)
    detail(service.client.post("/v1/tokens", json={"name": "x"}, headers=ann), 403)


def own(service, who, method, path="", **more):
    return service.client.request(method, f"/v1/me/tokens{path}", headers=who, **more)


def bearer(answer):
    return {"Authorization": f"Bearer {answer.json()['token']}"}


def test_a_person_looks_after_their_own_tokens(service, ann, bob, admin):
    """Makes, lists, rotates and removes those of one account, with at most the scope of the request."""
    laptop = bearer(own(service, ann, "POST", json={"label": "laptop", "scope": "read", "lifetime_s": 60}))
    me = service.client.get("/v1/me", headers=laptop).json()
    assert (me["id"], me["scope"]) == (service.client.get("/v1/me", headers=ann).json()["id"], "read")
    assert [each["label"] for each in own(service, ann, "GET").json()] == ["default", "laptop"]
    detail(own(service, ann, "POST", json={"label": "x", "scope": "admin"}), 403)
    # The token with the scope "read" neither makes, replaces nor removes one that may do more.
    detail(own(service, laptop, "POST", json={"label": "x", "scope": "submit"}), 403)
    detail(own(service, laptop, "POST", "/default:rotate", json={}), 403)
    detail(own(service, laptop, "DELETE", "/default"), 403)
    fresh = bearer(own(service, ann, "POST", "/default:rotate", json={}))
    detail(own(service, ann, "GET"), 401)
    assert own(service, fresh, "DELETE", "/laptop").status_code == 204
    detail(own(service, laptop, "GET"), 401)
    assert "only way in" in detail(own(service, fresh, "DELETE", "/default"), 409)["detail"]
    assert own(service, fresh, "GET").status_code == 200


@pytest.mark.parametrize("overlap_s", [0, 60])
def test_of_two_that_rotate_one_token_one_wins(service, ann, admin, overlap_s):
    """The winner's token is good; the others get none, and the audit log has one rotation that was done."""
    together = threading.Barrier(4)

    def rotate(_):
        together.wait()
        return own(service, ann, "POST", "/default:rotate", json={"overlap_s": overlap_s})

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(rotate, range(4)))
    (won,) = [each for each in answers if each.status_code == 201]
    assert {each.status_code for each in answers} <= {201, 401, 409}
    assert own(service, bearer(won), "GET").status_code == 200
    lines = service.client.get("/v1/audit", headers=admin).json()["lines"]
    rotations = [line for line in lines if line["operation"] == "me.rotate_token"]
    assert [line["outcome"] for line in rotations].count("done") == 1


def test_an_admin_rotates_and_removes_by_label(service, admin, ann):
    """With an overlap, both tokens are valid; one label is removed, and with the last one the account."""
    answer = service.client.post("/v1/tokens/ann/default:rotate", json={"overlap_s": 60}, headers=admin)
    new = bearer(answer)
    assert service.client.get("/v1/me", headers=ann).json() == service.client.get("/v1/me", headers=new).json()
    assert service.client.post("/v1/tokens", json={"name": "ann", "label": "ci"}, headers=admin).status_code == 201
    assert service.client.delete("/v1/tokens/ann", params={"label": "default"}, headers=admin).status_code == 204
    detail(service.client.get("/v1/me", headers=new), 401)
    detail(service.client.delete("/v1/tokens/ann", params={"label": "cii"}, headers=admin), 404)
    assert service.client.delete("/v1/tokens/ann", params={"label": "ci"}, headers=admin).status_code == 204
    detail(service.client.post("/v1/tokens/ann/ci:rotate", json={}, headers=admin), 404)


def test_the_operator_sets_how_long_tokens_live(tmp_path):
    """A token made without a time gets the operator's; one with a time keeps its own."""
    with run_service(tmp_path, token_lifetime="1d") as service:
        admin = service.token("root", "admin")
        for name, more in (("a", {}), ("b", {"lifetime_s": 60})):
            service.client.post("/v1/tokens", json={"name": name, **more}, headers=admin)
        listed = service.client.get("/v1/tokens", headers=admin).json()
        lives = {each["name"]: each["expires_ms"] and each["expires_ms"] - each["created_ms"] for each in listed}
    assert lives == {"root": None, "a": 86_400_000, "b": 60_000}
