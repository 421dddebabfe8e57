"""Verbs for registered models and uploads, on a home."""

from __future__ import annotations

import pytest

from pipelines.cli import main
from tracking.store.accounts import Accounts, Identity
from tracking.store.database import Store
from tracking.store.registered_names import claim_registered_name


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Call the command line on a home where ann owns a registered model, and somebody has uploaded a file."""
    with Store.open(tmp_path) as store:
        ann = Accounts(store).create("ann", "submit")
        Accounts(store).create("bob", "submit")
        with store.write() as connection:
            claim_registered_name(connection, "shop", "first", Identity(ann.id, "ann", "submit"))
    (tmp_path / "uploads").mkdir()
    (tmp_path / "uploads" / "ab.csv").write_bytes(b"x" * 2000)

    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["kerastudy", "--home", str(tmp_path), *words])
        with pytest.raises(SystemExit) as ended:
            main()
        shown = capsys.readouterr()
        return int(ended.value.code), shown.out + shown.err

    return run


def test_a_model_is_granted_and_taken_back(call):
    """Each verb prints what holds afterwards; an unknown name is bad input."""
    assert call("model", "list") == (0, "shop: of ann, by study first\n")
    granted = "shop: of ann, by study first; granted to bob (protected aliases too)\n"
    assert call("model", "grant", "shop", "bob", "--protected") == (0, granted)
    assert call("model", "revoke", "shop", "bob") == (0, "shop: of ann, by study first\n")
    status, text = call("model", "grant", "shpo", "bob")
    assert (status, 'did you mean "shop"' in text) == (2, True)


def test_uploads_are_listed_and_removed(call):
    """A file from before owners were recorded is there too."""
    assert call("uploads", "list") == (0, "uploads/ab.csv  2 KB, of an unknown account\n")
    assert call("uploads", "remove", "uploads/ab.csv") == (0, "")
    assert call("uploads", "list") == (0, "there are no uploads\n")
    assert call("uploads", "remove", "uploads/ab.csv")[0] == 2
