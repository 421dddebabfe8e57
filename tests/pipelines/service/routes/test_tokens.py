"""Routes of tokens, which only an admin may use."""

from __future__ import annotations

from served import detail


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
    for method, path in (("GET", "/v1/tokens"), ("DELETE", "/v1/tokens/root")):
        detail(service.client.request(method, path, headers=ann), 403)
    detail(service.client.post("/v1/tokens", json={"name": "x"}, headers=ann), 403)
