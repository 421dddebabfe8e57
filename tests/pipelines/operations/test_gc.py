"""Retention rules: what goes, what stays although it is old, and that a dry run removes nothing."""

from __future__ import annotations

import os
import time

import mlflow
import pytest
import sqlalchemy as sa
from desk import Desk, scores
from fake_engine import FakeEngine

from pipelines.operations.archive import archive_study
from pipelines.operations.gc import collect_garbage
from pipelines.operations.submit import submit_study
from pipelines.operations.sync import SyncMonitor, sync
from pipelines.spec.home_rules import RetentionSpec
from pipelines.workspace.home import PROGRAMS, Home
from search_spaces.errors import UnknownError
from tracking.mlflow import urls
from tracking.store.database import Store
from tracking.store.tables import studies

DAY_S = 86_400
OF_THE_STORE = ("kerastudy_about", "kerastudy_schema", "alembic_version", "version_info")


def rules(**ages):
    return RetentionSpec.model_validate({"uploads": "7d", **ages})


def grow_old(desk, days, name="it"):
    """Let a study have ended some days ago."""
    with desk.store.write() as connection:
        at = int((time.time() - days * DAY_S) * 1000)
        connection.execute(sa.update(studies).where(studies.c.name == name).values(changed_ms=at))


def make_old(path, days):
    at = time.time() - days * DAY_S
    os.utime(path, (at, at))


def summarize(items):
    return sorted((each.kind, each.what) for each in items)


@pytest.fixture
def desk(tracked_desk, tracked_home):
    """A delivered study of three trials with models, logs and a left checkpoint, which ended ten days ago."""
    tracked_desk.run(FakeEngine(scores(3.0, 2.0, 4.0)), trials=3)
    tracked_desk.deliver()
    (tracked_home.locate_trial("it", 2) / "fold-0.checkpoint").write_bytes(bytes(1000))
    (tracked_home.locate_study("it") / "prepare.log").write_text("read\n")
    (tracked_home.locate_study("it") / "study.log").write_text("began\n")
    grow_old(tracked_desk, 10)
    return tracked_desk


def drop_alias(home):
    uri = urls.make_home_tracking_uri(home.folder)
    mlflow.MlflowClient(uri, registry_uri=uri).delete_registered_model_alias("it", "champion")


def test_without_rules_an_old_study_stays_whole(desk, tracked_home):
    """Nothing of a study goes unless the operator asks for it."""
    assert collect_garbage(tracked_home, rules()).removed == ()


def test_each_rule_takes_its_part(desk, tracked_home):
    """Checkpoints, logs and models go, but for the winner's model and the study's own log; a dry run shows it."""
    chosen = rules(checkpoints="9d", models="9d", logs="9d", studies="9d")
    shown = collect_garbage(tracked_home, chosen, dry_run=True)
    assert desk.models() == [0, 1, 2]
    done = collect_garbage(tracked_home, chosen)
    assert summarize(done.removed) == summarize(shown.removed)
    assert summarize(done.removed) == [("checkpoints", "it"), ("logs", "it"), ("models", "it")]
    assert done.freed_bytes == shown.freed_bytes > 1000
    assert desk.models() == [1]
    assert not (tracked_home.locate_study("it") / "prepare.log").exists()
    assert (tracked_home.locate_study("it") / "study.log").exists()
    kept = {each.kind: each.reason for each in done.kept}
    assert kept["study"].startswith("models:/it@champion is version 1")
    assert kept["models"] == "of the winner, its ensemble, or promoted"


def test_a_young_study_stays(desk, tracked_home):
    """A study that ended after the age of a rule is not touched."""
    assert collect_garbage(tracked_home, rules(checkpoints="11d", models="11d", studies="11d")).removed == ()


def test_a_study_that_nothing_needs_goes_whole(desk, tracked_home):
    """Without an alias, an old study is deleted."""
    drop_alias(tracked_home)
    done = collect_garbage(tracked_home, rules(studies="9d"))
    assert summarize(done.removed) == [("study", "it")]
    assert desk.queue.find("it") is None


@pytest.mark.parametrize("state", ["paused", "running", "queued"])
def test_a_study_that_may_go_on_keeps_all(state, desk, tracked_home):
    """What it needs to go on stays, whatever its age, and is named with the reason."""
    desk.queue.set_state("it", state)
    grow_old(desk, 100)
    done = collect_garbage(tracked_home, rules(checkpoints="1d", models="1d", logs="1d", studies="1d"))
    assert done.removed == ()
    assert [each.reason for each in done.kept] == [f"the study is {state}, and goes on from them"]
    assert desk.models() == [0, 1, 2]


def test_models_stay_while_mlflow_is_away(desk, tracked_home, monkeypatch):
    """Whether a model is promoted is not known then."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    done = collect_garbage(tracked_home, rules(models="1d", studies="1d"))
    assert done.removed == ()
    assert all("whether they are promoted is not known" in each.reason for each in done.kept)


def test_an_interrupted_archive_is_completed(desk, tracked_home, monkeypatch):
    """What an archive that was cut off has left goes without a rule."""
    monkeypatch.setattr("pipelines.operations.archive._remove_unneeded", lambda *arguments: 0)
    archive_study(tracked_home, "it")
    assert summarize(collect_garbage(tracked_home, rules()).removed) == [("checkpoints", "it"), ("models", "it")]
    assert desk.models() == [1]


def test_orphans_go_once_they_are_old(desk, tracked_home, monkeypatch):
    """A folder without a study, an upload that no study names and the oldest programs go; new and named ones stay."""
    named, unnamed, new = (tracked_home.uploads / f"{letter * 32}.csv" for letter in "abc")
    tracked_home.uploads.mkdir()
    for file in (named, unnamed, new):
        file.write_text("x\n1\n")
    for file in (named, unnamed):
        make_old(file, 8)
    study = desk.study().document.replace_value(("study",), "s", "s.yaml")
    study = study.replace_value(("data", "source"), str(named), "s.yaml")
    from pipelines.study.load import check_document

    with desk.store.write() as connection:
        submit_study(check_document(study, tracked_home.folder), desk.queue, connection)
    for name, age in (("gone", 3), ("being-prepared", 0)):
        folder = tracked_home.locate_study(name)
        folder.mkdir()
        (folder / "data").write_bytes(bytes(10))
        for path in (folder / "data", folder):
            make_old(path, age)
    monkeypatch.delenv(PROGRAMS)
    tracked_home.programs.mkdir()
    for name, age in (("old", 5), ("recent", 1)):
        (tracked_home.programs / name).write_bytes(bytes(800))
        make_old(tracked_home.programs / name, age)
    done = collect_garbage(tracked_home, rules(programs=1000))
    assert summarize(done.removed) == [("orphan", "gone"), ("programs", "compiled programs"), ("upload", unnamed.name)]
    assert sorted(file.name for file in tracked_home.uploads.iterdir()) == [named.name, new.name]
    assert [file.name for file in tracked_home.programs.iterdir()] == ["recent"]
    assert summarize(done.kept) == [("upload", named.name)]


def test_a_deletion_that_was_cut_off_is_completed(desk, tracked_home, monkeypatch):
    """The next collection completes it."""
    from pipelines.operations.delete import delete_study

    with monkeypatch.context() as patched:
        patched.setattr("pipelines.operations.delete._remove_rows", _fail)
        with pytest.raises(UnknownError):
            delete_study(tracked_home, "it", force=True)
    assert collect_garbage(tracked_home, rules()).failures == ()
    assert desk.queue.find("it") is None


def _fail(*arguments):
    raise UnknownError("cut off")


def test_rules_hold_for_a_store_on_postgresql(postgresql, tracked_home, monkeypatch):
    """Where the store is on a server, files go by the same rules, and a study with all its rows."""
    monkeypatch.setattr("tracking.reports.study_report.write_pngs", lambda figures, folder: ())
    home = Home(tracked_home.folder, postgresql)
    with Store.open(postgresql) as store:
        desk = Desk(store, home)
        desk.run(FakeEngine(scores(3.0, 2.0)), trials=2)
        (delivered,) = sync(home, ("it",), 60, SyncMonitor())
        assert not delivered.left, delivered.reason
        grow_old(desk, 10)
        done = collect_garbage(home, rules(models="9d", studies="9d"))
        assert summarize(done.removed) == [("models", "it")]
        drop_alias(home)
        shown = collect_garbage(home, rules(studies="9d"), dry_run=True)
        assert home.locate_study("it").exists()
        done = collect_garbage(home, rules(studies="9d"))
        assert summarize(done.removed) == summarize(shown.removed) == [("study", "it")]
        assert done.failures == ()
        assert not home.locate_study("it").exists()
        with store.read() as connection:
            tables = [table for table in sa.inspect(connection).get_table_names() if table not in OF_THE_STORE]
            rows = {table: connection.scalar(sa.text(f"SELECT count(*) FROM {table}")) for table in tables}
    assert {table for table, count in rows.items() if count} == set()
