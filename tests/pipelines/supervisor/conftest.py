"""A desk on an empty store, and no pictures, for all tests of the supervisor."""

import pytest
from desk import Desk

from pipelines.workspace.home import Home


@pytest.fixture
def desk(store, tmp_path):
    """A desk on an empty store below `tmp_path`/home."""
    return Desk(store, Home(tmp_path / "home", str(tmp_path / "home")))


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch):
    """Leave the report unwritten: its pictures take longer than the studies here."""
    monkeypatch.setattr("tracking.reports.study_report.write_pngs", lambda figures, folder: ())
