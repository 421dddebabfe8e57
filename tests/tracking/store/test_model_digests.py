"""Digests of the files of models: recorded, replaced, compared by name."""

from __future__ import annotations

import hashlib

from tracking.store.database import Store
from tracking.store.model_digests import ModelDigests, compute_digests, describe_changes


def test_digests_are_those_of_the_last_record(tmp_path):
    """A model that is recorded again has its new digests, and a forgotten one has none."""
    with Store.open(tmp_path) as store:
        digests = ModelDigests(store)
        digests.record("studies/a/trials/0001", "a", {"model.keras": "1"})
        digests.record("studies/a/trials/0001", "a", {"model.keras": "2"})
        assert digests.find("studies/a/trials/0001") == {"model.keras": "2"}
        digests.forget(["studies/a/trials/0001"])
        assert digests.find("studies/a/trials/0001") is None


def test_every_file_that_differs_is_named(tmp_path):
    """Changed, added and removed ones; nothing where all are the same."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.py").write_text("a")
    found = compute_digests(tmp_path, [tmp_path / "code" / "a.py"])
    assert found == {"code/a.py": hashlib.sha256(b"a").hexdigest()}
    assert describe_changes(found, found) == ""
    changes = describe_changes({"a": "1", "b": "1", "c": "1"}, {"b": "2", "c": "1", "d": "1"})
    assert changes == "changed: b; added: d; removed: a"
