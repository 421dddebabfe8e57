"""Accounts, tokens and the audit log, by both clients: the same calls on a home and on a service."""

from __future__ import annotations

import pytest
from served import run_service

from pipelines.client.http import HttpClient
from pipelines.client.local import LocalClient
from search_spaces.errors import InputError


@pytest.fixture(scope="module")
def clients(tmp_path_factory):
    """A client of a home, and one of the service on it, as an admin."""
    with run_service(tmp_path_factory.mktemp("access")) as service:
        local = LocalClient(service.home)
        text = local.access.create_token("root", "admin")
        with HttpClient(f"http://127.0.0.1:{service.port}", text) as remote:
            yield {"home": local.access, "service": remote.access}


@pytest.mark.parametrize("place", ["home", "service"])
def test_tokens_and_accounts_are_managed_alike(clients, place):
    """Create, list, rotate, change and remove; each change is a line of the audit log."""
    access, name = clients[place], f"ann-{place}"
    first = access.create_token(name, "read", 3, label="ci", lifetime_s=3600.0)
    second = access.rotate_token(name, "ci", overlap_s=60.0, lifetime_s=None)
    assert first != second
    mine = [token for token in access.list_tokens() if token.name == name]
    assert [(each.label, each.scope, each.running_trials) for each in mine] == [("ci", "read", 3)] * 2
    assert mine[1].expires_ms - mine[1].created_ms == 3_600_000
    with pytest.raises(InputError, match="rotate it"):
        access.create_token(name, "read", label="ci")
    access.remove_token(name, "ci")
    assert name not in {each.name for each in access.list_accounts()}
    access.create_account(name, "submit", "correct horse", None)
    access.change_account(name, scope="read", password="another horse")
    assert [each.scope for each in access.list_accounts() if each.name == name] == ["read"]
    access.remove_account(name)
    with pytest.raises(InputError, match=r"10 (to 1000 )?characters"):
        access.create_account(name, "submit", "short", None)
    lines = [line for line in access.list_audit(100) if line.object.startswith(name) and line.outcome == "done"]
    assert [line.operation for line in reversed(lines)] == [
        "token.create",
        "token.rotate",
        "token.remove",
        "account.create",
        "account.change",
        "account.remove",
    ]
    assert len(access.list_audit(2)) == 2


def test_ones_own_tokens_need_a_service(clients):
    """The caller of a service has an account; whoever works on a home has none."""
    remote = clients["service"]
    remote.create_token(None, label="laptop", lifetime_s=60.0)
    remote.rotate_token(None, "laptop", overlap_s=0.0, lifetime_s=None)
    assert [each.label for each in remote.list_tokens(own=True)] == ["default", "laptop"]
    remote.remove_token(None, "laptop")
    for call in (
        lambda: clients["home"].create_token(None),
        lambda: clients["home"].list_tokens(own=True),
        lambda: clients["home"].remove_token(None),
        lambda: clients["home"].rotate_token(None, "x", overlap_s=0.0, lifetime_s=None),
    ):
        with pytest.raises(InputError, match="expected the NAME of an account"):
            call()
