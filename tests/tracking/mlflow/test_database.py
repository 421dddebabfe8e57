"""MLflow's database file: complete or absent, whichever process is killed during its creation."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import mlflow
import mlflow_tables
import pytest
import sqlalchemy as sa

from tracking.mlflow import client, database
from tracking.mlflow.database import create_database

MAKE = """
import os, pathlib, sys, time
from tracking.mlflow.database import create_database
link = os.link
os.link = lambda *files: (print("now", flush=True), time.sleep(60), link(*files))
create_database(pathlib.Path(sys.argv[1]))
"""


@pytest.fixture(autouse=True)
def _own_tables(monkeypatch):
    """Each database here has tables of its own making."""
    monkeypatch.setattr(database, "_write_tables", mlflow_tables.write_tables)


@pytest.mark.long
def test_a_kill_during_the_creation_leaves_none(tmp_path):
    """Killed half way, it is not there; the next process makes it, and nothing of the first is left."""
    file = tmp_path / "mlflow.db"
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    command = [sys.executable, "-c", MAKE, str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout.readline() == "now\n"
        (made,) = tmp_path.glob("making-*")
        process.send_signal(signal.SIGKILL)
    assert not file.exists()
    made.write_bytes(made.read_bytes()[:100_000])  # it may as well have been killed while it wrote
    assert client.connect(f"sqlite:///{file}").search_experiments()
    assert sorted(each.name for each in tmp_path.iterdir() if "making" in each.name) == []


def test_an_existing_database_stays(tmp_path):
    """A file that another process made is not touched."""
    file = tmp_path / "mlflow.db"
    file.write_text("it")
    create_database(file)
    assert file.read_text() == "it"


def test_threads_of_one_process_take_turns(tmp_path):
    """Several studies of one process, of one home or of two, come to a database each can use."""
    files = [tmp_path / "one.db", tmp_path / "one.db", tmp_path / "two.db"]
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(create_database, files))
    for file in set(files):
        assert client.connect(f"sqlite:///{file}").search_experiments()


def test_runs_in_order_are_no_comparison_of_each_with_each(tmp_path):
    """SQLite looks a run's metric up: it takes no table for small, whatever is in it, and before anything is."""
    file, searches = tmp_path / "mlflow.db", []
    connected = client.connect(f"sqlite:///{file}")
    experiment = connected.create_experiment("e")

    def keep(_connection, _cursor, text, values, *_more):
        searches.append((text, values))

    sa.event.listen(sa.Engine, "before_cursor_execute", keep)
    try:
        connected.search_runs([experiment], "tags.mlflow.parentRunId = 'x'", order_by=["metrics.`best_loss` ASC"])
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", keep)
    search = next(each for each in searches if "latest_metrics" in each[0] and "parentRunId" in str(each[1]))
    with closing(sqlite3.connect(file)) as database:
        plan = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {search[0]}", search[1])]
    assert not [step for step in plan if step.startswith("SCAN") and "anon" in step], plan


def test_statistics_are_written_once(tmp_path):
    """Into a database of an earlier version too; those that somebody made stay."""
    file = tmp_path / "mlflow.db"
    create_database(file)
    read = "SELECT tbl, idx, stat FROM sqlite_stat1 ORDER BY 1, 2, 3"
    client.connect(f"sqlite:///{file}")
    with closing(sqlite3.connect(file)) as database:
        written = database.execute(read).fetchall()
    client.connect(f"sqlite:///{file}")
    with closing(sqlite3.connect(file)) as database:
        assert database.execute(read).fetchall() == written
        database.execute("INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (7, 'x', 'active')")
        database.execute("ANALYZE")
        made = database.execute(read).fetchall()
        database.commit()
    client.connect(f"sqlite:///{file}")
    with closing(sqlite3.connect(file)) as database:
        assert database.execute(read).fetchall() == made
    assert ("runs", "sqlite_autoindex_runs_1", "10000 1") in written


def _describe(file):
    """Return all that a database holds, and its rows."""
    with closing(sqlite3.connect(file)) as database:
        kinds = database.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY 1, 2").fetchall()
        tables = [name for kind, name, *_ in kinds if kind == "table"]
        rows = {name: database.execute(f'SELECT * FROM "{name}"').fetchall() for name in tables}
    # Blanks at the ends of lines are not kept, and MLflow's steps write constraints in the order of a set.
    return [(*each, sorted(line.rstrip(", ") for line in (sql or "").splitlines())) for *each, sql in kinds], rows


def test_the_known_tables_are_those_of_mlflows_steps(tmp_path):
    """A new database holds the tables, indexes and rows that MLflow's own steps leave, in the installed version."""
    assert database.locate_schema(mlflow.version.VERSION).exists()
    mlflow_tables.write_tables(tmp_path / "ours.db")
    database.write_tables_by_steps(tmp_path / "theirs.db")

    assert _describe(tmp_path / "ours.db") == _describe(tmp_path / "theirs.db")


def test_tables_of_another_version_are_made_by_its_steps(tmp_path, monkeypatch):
    """Where no file has the tables of a version, MLflow makes them."""
    monkeypatch.setattr(mlflow.version, "VERSION", "99.0.0")

    mlflow_tables.write_tables(tmp_path / "made.db")

    monkeypatch.undo()
    mlflow_tables.write_tables(tmp_path / "known.db")
    assert _describe(tmp_path / "made.db") == _describe(tmp_path / "known.db")
