"""Quota of a home: reached, explained, and free again."""

from __future__ import annotations

import pytest

from pipelines.workspace import quota
from pipelines.workspace.quota import HomeQuota, QuotaError


def test_a_full_home_is_refused_until_it_has_room(tmp_path, monkeypatch):
    """The error states both sizes and what to do; after a removal the next measurement passes."""
    monkeypatch.setattr(quota, "_LEAST_S", 0.0)
    monkeypatch.setattr(quota, "_SHARE", 0)
    file = tmp_path / "a" / "b"
    file.parent.mkdir()
    file.write_bytes(bytes(2000))
    watched = HomeQuota(tmp_path, 1500)
    with pytest.raises(QuotaError, match=r"holds 2e-06 GB, and quotas.home is 1.5e-06 GB: make room with"):
        watched.check()
    file.unlink()
    watched.check()


def test_a_measurement_holds_for_a_while(tmp_path):
    """The home is not measured at each check."""
    watched = HomeQuota(tmp_path, 1000)
    watched.check()
    (tmp_path / "a").write_bytes(bytes(2000))
    watched.check()
    HomeQuota(tmp_path, None).check()
