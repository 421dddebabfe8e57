"""Errors as answers."""

from __future__ import annotations

import json

from served import detail


def test_a_defect_is_no_secret_and_no_traceback(service, ann, monkeypatch):
    """A client learns that it is a defect, and no details."""
    monkeypatch.setattr(type(service.study_service), "load_study", lambda self, name: 1 / 0)
    found = detail(service.client.get("/v1/studies/s", headers=ann), 500)
    assert "ZeroDivision" not in json.dumps(found)
