"""Kills of a restoration to database servers at each of its steps: it is seen, goes on, and leaves nothing."""

from __future__ import annotations

import os
import signal

import mlflow
import pytest
import sqlalchemy as sa
from desk import Desk, scores
from fake_engine import FakeEngine
from postgresql import create_database

from pipelines.operations.backup import back_up
from pipelines.operations.restore import restore_backup
from pipelines.operations.sync import SyncMonitor, sync
from pipelines.workspace.home import Home
from pipelines.workspace.restoration_mark import FILE_NAME, FOLDER
from search_spaces.errors import InputError
from tracking.store.database import Store
from tracking.testing import failpoints

STEPS = [name for name in failpoints.FAILPOINTS if name.startswith("restoration-")]


@pytest.fixture
def backup(tmp_path, monkeypatch):
    """The backup of a home with a delivered study of two trials."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr("tracking.reports.study_report.write_pngs", lambda figures, folder: ())
    made = Home.find(str(tmp_path / "before"), {})
    with Store.open(made.store) as store:
        Desk(store, made).run(FakeEngine(scores(3.0, 2.0)), trials=2)
    (done,) = sync(made, ("it",), 60, SyncMonitor())
    assert not done.left
    back_up(made, tmp_path / "backup")
    return tmp_path / "backup"


@pytest.fixture
def servers(postgresql, postgresql_server, tmp_path, monkeypatch):
    """A store and an MLflow server's database on PostgreSQL, and the folder of its files; none has anything."""
    database = create_database(postgresql_server)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9/mlflow")
    monkeypatch.setenv("KERASTUDY_MLFLOW_STORE", database)
    monkeypatch.setenv("KERASTUDY_MLFLOW_FILES", str(tmp_path / "served"))
    return postgresql, database


def _die_at(step, home, backup):
    """Restore in a forked process that is killed at a step; return how it ended."""
    pid = os.fork()
    if pid == 0:
        failpoints.arm(step)
        restore_backup(home, backup)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.long
# A fork with the threads of libraries: the child only restores, and ends.
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_restoration_killed_at_each_step_is_completed(backup, servers, tmp_path):
    """Killed once at every step there is no home, or one that is refused; a repetition completes it."""
    store_url, mlflow_url = servers
    home = Home(tmp_path / "after", store_url)
    for step in STEPS:
        assert _die_at(step, home, backup) == -signal.SIGKILL, step
        if step == "restoration-home-adapted":
            assert not home.folder.exists()
            continue
        with pytest.raises(InputError, match="its restoration was cut off"):
            Home.find(str(home.folder), {})
    restore_backup(home, backup)
    assert Home.find(str(home.folder), {}).folder == home.folder
    assert not [name for name in (FILE_NAME, FOLDER, f"{FOLDER}-done") if (home.folder / name).exists()]
    with Store.open(store_url) as store:
        assert [trial.value for trial in Desk(store, home).trials()] == [3.0, 2.0]
    engine = sa.create_engine(mlflow_url.replace("://", "+psycopg2://"))
    with engine.connect() as connection:
        uris = connection.scalars(sa.text("SELECT artifact_uri FROM runs")).all()
    engine.dispose()
    assert len(uris) == 3
    assert all(uri.startswith("mlflow-artifacts:/") for uri in uris)
    assert all((tmp_path / "served" / uri.removeprefix("mlflow-artifacts:/")).is_dir() for uri in uris)


def test_another_backup_does_not_go_on_with_it(backup, servers, tmp_path, monkeypatch):
    """What was begun with one backup is not completed with another, nor into other databases."""
    home = Home(tmp_path / "after", servers[0])
    assert _die_at("restoration-home-placed", home, backup) == -signal.SIGKILL
    with pytest.raises(InputError, match="set the addresses as they were"):
        restore_backup(Home(home.folder, f"{servers[0]}_other"), backup)
    before = Home(tmp_path / "before", str(tmp_path / "before"))
    with monkeypatch.context() as there:
        there.delenv("MLFLOW_TRACKING_URI")
        with Store.open(before.store) as store:
            Desk(store, before).run(FakeEngine(scores(1.0)), trials=3)
        back_up(before, tmp_path / "second")
    with pytest.raises(InputError, match="a restoration of another backup"):
        restore_backup(home, tmp_path / "second")


@pytest.mark.long
def test_the_records_of_a_server_come_back_into_a_home(backup, servers, tmp_path, monkeypatch):
    """A backup of MLflow's server holds its database and files; restored into a home, both are the home's."""
    home = Home(tmp_path / "after", servers[0])
    restore_backup(home, backup)
    done = back_up(home, tmp_path / "of-servers.tar")
    assert done.notes == ()
    for name in ("MLFLOW_TRACKING_URI", "KERASTUDY_MLFLOW_STORE", "KERASTUDY_MLFLOW_FILES"):
        monkeypatch.delenv(name)
    again = Home.find(str(tmp_path / "again"), {})
    restore_backup(again, tmp_path / "of-servers.tar")
    uri = f"sqlite:///{again.folder / 'mlflow.db'}"
    client = mlflow.MlflowClient(uri, registry_uri=uri)
    runs = client.search_runs([client.get_experiment_by_name("it").experiment_id])
    assert len(runs) == 3
    assert all(run.info.artifact_uri.startswith(again.folder.as_uri()) for run in runs)
    assert all(client.list_artifacts(run.info.run_id) for run in runs)
    assert not (again.folder / "mlflow-files").exists()
