"""Verbs on tokens, accounts and the audit log, on a home."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from pipelines.cli import commands


@pytest.fixture
def call(tmp_path, monkeypatch):
    """Call the command line on a home; return its output, or its error."""
    monkeypatch.delenv("KERASTUDY_URL", raising=False)

    def run(*words, typed=None):
        done = CliRunner().invoke(commands, ["--home", str(tmp_path), *words], input=typed)
        return done.output if done.exception is None else f"{done.output}{done.exception}"

    return run


def test_tokens_have_labels_expire_and_are_rotated(call):
    """The list has both tokens of an account; a wrong time is refused with what to write."""
    first = call("token", "create", "ann", "--expires", "90d").strip()
    assert first.startswith("ks_")
    assert call("token", "create", "ann", "--label", "ci", "--scope", "read").startswith("ks_")
    assert call("token", "rotate", "ann").strip() != first
    listed = json.loads(call("token", "list", "--json"))
    assert [(each["label"], each["scope"]) for each in listed] == [("ci", "read"), ("default", "submit")]
    assert listed[1]["expires_ms"] - listed[1]["created_ms"] == 90 * 86_400_000
    assert 'expected a duration such as 90, "30s"' in call("token", "create", "bob", "--expires", "soon")
    assert "expected NAME" in call("token", "create", "--running-trials", "3")
    assert "expected the NAME of an account" in call("token", "create")
    call("token", "remove", "ann")
    assert json.loads(call("account", "list", "--json")) == []


def test_a_prompt_reads_the_password_of_an_account(call):
    """Twice; the audit log has the operator, and no password."""
    assert "do not match" in call("account", "add", "ann", typed="correct horse\nother horse\n\n\n")
    call("account", "add", "ann", typed="correct horse\ncorrect horse\n")
    assert "10 to 1000 characters" in call("account", "password", "ann", typed="short\nshort\n")
    call("account", "scope", "ann", "read")
    assert "read" in call("account", "list")
    call("account", "remove", "ann")
    assert 'no account "ann"' in call("account", "remove", "ann")
    lines = call("audit")
    assert [word for word in lines.split() if word.startswith("account.")] == [
        "account.remove",
        "account.change",
        "account.create",
    ]
    assert "horse" not in lines
    assert len(json.loads(call("audit", "--operation", "account.create", "--since", "1h", "--json"))) == 1
