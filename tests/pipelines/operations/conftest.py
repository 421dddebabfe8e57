"""A home with an MLflow of its own, and a bench of a study with scripted trials."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing

import pytest
from desk import Desk

from pipelines.operations.sync import SyncMonitor, sync
from pipelines.workspace.home import Home
from tracking.mlflow import client as mlflow_connection
from tracking.mlflow import urls


@pytest.fixture(scope="session")
def _empty_mlflow(tmp_path_factory):
    """Make MLflow's database once: its tables take seconds."""
    home = tmp_path_factory.mktemp("mlflow")
    mlflow_connection.connect(urls.make_home_tracking_uri(home)).search_experiments()
    copy = home / "copy.db"
    with closing(sqlite3.connect(home / "mlflow.db")) as made, closing(sqlite3.connect(copy)) as target:
        made.backup(target)
    return copy


@pytest.fixture
def tracked_home(tmp_path, _empty_mlflow, monkeypatch):
    """A home whose MLflow is its own."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / "home"
    folder.mkdir(exist_ok=True)
    shutil.copyfile(_empty_mlflow, folder / "mlflow.db")
    return Home(folder, str(folder))


class TrackedDesk(Desk):
    """Bench whose records can be delivered to the home's MLflow."""

    def deliver(self, study: str = "it") -> None:
        """Deliver all records of a study."""
        (done,) = sync(self.home, (study,), 60, SyncMonitor())
        assert not done.left, done.reason


@pytest.fixture
def tracked_desk(store, tracked_home, monkeypatch):
    """A bench on that home."""
    # Plots take longer than the rest.
    monkeypatch.setattr("tracking.reports.study_report.write_pngs", lambda figures, folder: ())
    return TrackedDesk(store, tracked_home)
