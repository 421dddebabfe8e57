"""Homes of earlier versions, opened by this one: shown, exported and continued."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest
from command import kerastudy_here
from mlflow import MlflowClient
from mlflow_picture import list_runs
from old_homes import write_old_home

from search_spaces.errors import KerastudyError
from tracking.mlflow import urls
from tracking.store.database import Store
from tracking.store.schema import OLDEST_VERSION as OLDEST
from tracking.store.study_queue import StudyQueue
from tracking.store.tables import SCHEMA_VERSION

# The old space has two points, which were both tried.
LARGER = ("--trials", "3", "--evolve", "--set", "space.units=[4, 8, 16]")


def versions_of(*files):
    found = []
    for file in files:
        with closing(sqlite3.connect(file)) as connection:
            found.append(connection.execute("SELECT value FROM kerastudy_about WHERE key='schema_version'").fetchone())
    return [int(version[0]) for version in found]


@pytest.fixture
def home(tmp_path):
    """A home of the oldest schema that is upgraded."""
    write_old_home(tmp_path / "home", OLDEST)
    return tmp_path / "home"


def tables_of(file):
    """Return the columns of each table of ours."""
    with closing(sqlite3.connect(file)) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            name: {row[1]: (row[2], row[3], row[5]) for row in connection.execute(f"PRAGMA table_info({name})")}
            for name in names
            if name.startswith("kerastudy_")
        }


def test_an_upgraded_store_has_the_tables_of_a_new_one(home, tmp_path):
    """Whatever way a store came to this schema, each column is there with its type."""
    Store.open(home).close()
    Store.open(tmp_path / "new").close()
    assert tables_of(home / "kerastudy.db") == tables_of(tmp_path / "new" / "kerastudy.db")


def test_the_old_store_is_kept_before_an_upgrade(home):
    """The copy has the old schema and all studies; a store that was upgraded is not copied again."""
    for _ in range(2):
        Store.open(home).close()
    copy = home / f"kerastudy.db.schema-{OLDEST}"
    assert versions_of(home / "kerastudy.db", copy) == [SCHEMA_VERSION, OLDEST]
    assert sorted(path.name for path in home.glob("kerastudy.db.*")) == [copy.name]
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT name FROM kerastudy_studies ORDER BY name").fetchall() == [
            ("iris",),
            ("waiting",),
        ]


def test_a_failed_upgrade_leaves_the_old_schema(home, monkeypatch):
    """All migrations are one transaction."""

    def fail(*_, **__):
        raise OSError("no room")

    # In the last migration, after others have changed tables and rows.
    monkeypatch.setattr("alembic.op.create_table", fail)
    with pytest.raises(KerastudyError, match="no room"):
        Store.open(home)
    monkeypatch.undo()
    with closing(sqlite3.connect(home / "kerastudy.db")) as connection:
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert "kerastudy_tokens" in tables
    assert "kerastudy_schema" not in tables
    with Store.open(home) as store:
        assert StudyQueue(store).get("iris").state == "finished"


def test_studies_of_an_old_home_are_shown(home, tmp_path):
    """Studies, trials and the best trial are those that the old version stored."""

    def read(*words):
        done = kerastudy_here("--home", str(home), *words, "--json", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    assert [(row["name"], row["state"]) for row in read("list")] == [("iris", "finished"), ("waiting", "queued")]
    assert [trial["state"] for trial in read("trials", "iris")] == ["complete", "complete"]
    best = read("best", "iris")
    assert (best["trial"]["number"], best["trial"]["values"]) == (1, [pytest.approx(0.4)])
    assert not read("show", "iris")["archived"]


@pytest.mark.long
def test_a_study_of_an_old_home_is_exported_and_goes_on(home, tmp_path):
    """Its model is exported, and with a larger budget it trains the further trial alone."""
    (tmp_path / "iris.yaml").write_text((home / "studies" / "iris" / "report" / "study.yaml").read_text())
    exported = kerastudy_here(
        "--home", str(home), "export", "iris", "--format", "keras", "--to", str(tmp_path / "model"), cwd=tmp_path
    )
    assert exported.returncode == 0, exported.stderr
    done = kerastudy_here("--home", str(home), "run", "iris.yaml", *LARGER, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    with Store.open(home) as store:
        assert StudyQueue(store).get("iris").counts == {"complete": 3}
    assert [file.name for file in sorted(home.glob("studies/iris/trials/*"))] == ["0000", "0001", "0002"]


@pytest.mark.long
def test_a_rebuild_names_the_curves_of_an_old_home_as_this_version_does(home, tmp_path):
    """Its leaderboard's columns have the names they had; its curves are there below `curves/`, too."""
    done = kerastudy_here("--home", str(home), "rebuild-tracking", "iris", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    uri = urls.make_home_tracking_uri(home)
    parent, children = list_runs(MlflowClient(uri, registry_uri=uri), "iris")
    assert {"curves/best_so_far", "best_val_accuracy"} <= parent.data.metrics.keys()
    for number in (0, 1):
        epochs = (home / f"studies/iris/trials/{number:04d}/artifacts/history.csv").read_text().splitlines()
        curves = {f"curves/{name}" for name in epochs[0].split(",")[1:]}
        metrics = children[number].data.metrics
        assert {name for name in metrics if "/" in name} == curves
        assert {name.removeprefix("curves/") for name in curves} <= metrics.keys()
        assert "best_val_accuracy" in metrics
