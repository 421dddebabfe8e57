"""Rows of many runs at once: those that MLflow itself writes, by a number of statements that does not grow."""

import sqlite3
from collections import Counter
from dataclasses import replace

import mlflow
import pytest
import sqlalchemy as sa
from projected import connect, list_runs

from tracking.mlflow import run_rows
from tracking.outbox.records import EpochsRecorded, StudyClosed, StudyOpened, TrialFinished, TrialPaused, TrialStarted
from tracking.outbox.sink import RefusedPartsError

NOON = 1_750_000_000_000
# Times of MLflow's own clock, and a packed view with the random id of a run.
_RANDOM = {"experiments": {"creation_time", "last_update_time"}, "experiment_tags": {"value"}}


@pytest.fixture
def records(a_study, tmp_path):
    """A study with all kinds of trials, one of them paused before, one odd name, and a retraining."""
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "history.csv").write_text("epoch,loss\n0,1.0\n")
    first, *trials, closed = a_study("study", folder=str(tmp_path / "files"))
    odd = {"a/b:c": 1, "x" * 300: 2.5, "blank": "", "names\0": "a\0b", "long": "z" * 9000}
    again = [
        TrialStarted("study", 4, odd, NOON, {"kerastudy.why_alone": "one"}),
        EpochsRecorded("study", 4, ((0, NOON + 1, {"loss": 2.0}),)),
        TrialPaused("study", 4, 2.0, "paused after epoch 1 of 3"),
        TrialStarted("study", 4, odd, NOON + 5, resumed=True),
        EpochsRecorded("study", 4, ((0, NOON + 1, {"loss": 2.0}), (1, NOON + 6, {"loss": 1.5, "odd name ": 1e300}))),
        TrialFinished("study", 4, "cancelled", None, {}, "the study was cancelled", NOON + 9, str(tmp_path / "files")),
        TrialStarted("study", 1, {"learning_rate": 0.05}, NOON + 10, retraining="seed-1"),
        EpochsRecorded("study", 1, ((0, NOON + 11, {"loss": 0.5}),), "seed-1"),
        TrialFinished(
            "study", 1, "complete", 0.5, {"best_loss": 0.5, "best_epoch": 1.0}, "", NOON + 12, "", retraining="seed-1"
        ),
        TrialStarted("study", 5, {"learning_rate": 0.05}, NOON + 13),
    ]
    assert isinstance(closed, StudyClosed)
    return [first, *trials, *again, closed]


@pytest.mark.parametrize("step", [1, 4, 100])
def test_the_rows_are_those_of_mlflow(records, tmp_path, by_requests, step):
    """Every column of every table, however the records are divided, and if all of them come once more."""
    ours, theirs = connect(tmp_path / "ours"), by_requests(tmp_path / "theirs")
    for sink in (ours, theirs):
        for start in range(0, len(records), step):
            sink.deliver(records[start : start + step])
    expected = read_tables(tmp_path / "theirs")
    assert read_tables(tmp_path / "ours") == expected
    assert len(expected["runs"]) == 8
    ours.deliver(records)
    assert read_tables(tmp_path / "ours") == expected


def test_the_version_in_use_is_one_whose_rows_are_known():
    """A new MLflow passes the tests of this file first, and is then added to the versions."""
    assert mlflow.__version__ in run_rows.VERSIONS


def test_statements_do_not_grow_with_the_trials(tmp_path):
    """A delivery of five trials takes as many statements as one of fifty, whatever MLflow holds already."""
    sink, counts, statements = connect(tmp_path), Counter(), []
    sink.deliver([make_opened()])

    def count(_connection, _cursor, statement, *_more):
        statements.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", count)
    try:
        for first, trials in ((0, 1), (1, 5), (100, 50), (200, 50), (300, 5)):
            statements.clear()
            sink.deliver([record for number in range(first, first + trials) for record in make_trial(number)])
            counts[first] = len(statements)
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", count)
    # The first delivery also looks for runs of an earlier process.
    assert counts[1] == counts[100] == counts[200] == counts[300] <= 20


def test_what_mlflow_refuses_is_refused_alone(tmp_path):
    """A parameter with another value than before sets its trial's record aside; the others arrive."""
    sink = connect(tmp_path)
    sink.deliver([make_opened(), *make_trial(0)])
    start, *more = make_trial(0)
    with pytest.raises(RefusedPartsError, match='the hyperparameter "units" of study-t000'):
        sink.deliver([replace(start, params={"units": 9, "depth": 1}), *more, *make_trial(1)])
    _, children = list_runs(mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}"), "study")
    assert children[0].data.params == {"units": "8", "depth": "1"}
    assert children[1].info.status == "FINISHED"


def test_a_failure_leaves_nothing(tmp_path, monkeypatch):
    """An outage in the middle of a transaction leaves no run; the next attempt writes each run once."""
    sink = connect(tmp_path)
    sink.deliver([make_opened()])

    def fail(self):
        raise sa.exc.OperationalError("UPDATE", {}, Exception("database is locked"))

    with monkeypatch.context() as broken:
        broken.setattr(run_rows._Writer, "_update_runs", fail)
        with pytest.raises(mlflow.MlflowException, match="locked") as error:
            sink.deliver([*make_trial(0), *make_trial(1)])
    assert sink.classify_error(error.value) == "outage"
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert list_runs(client, "study")[1] == {}
    sink.deliver([*make_trial(0), *make_trial(1)])
    assert sorted(list_runs(client, "study")[1]) == [0, 1]


def make_opened():
    return StudyOpened("study", "study-experiment", "loss", "minimize", ("units",), NOON, "", "d", "s", "ab" * 32, {})


def make_trial(number):
    at = NOON + 1000 * number
    return [
        TrialStarted("study", number, {"units": 8, **({} if number else {"depth": 1})}, at),
        EpochsRecorded("study", number, ((0, at + 1, {"loss": 1.0}), (1, at + 2, {"loss": 0.5}))),
        TrialFinished("study", number, "complete", 0.5, {"best_loss": 0.5, "best_epoch": 2.0}, "", at + 3, ""),
    ]


def read_tables(home):
    """Return the rows of all tables, with names in place of random ids, but for what MLflow takes from its clock."""
    with sqlite3.connect(home / "mlflow.db") as database:
        database.row_factory = sqlite3.Row
        names = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        tables = {name: [dict(row) for row in database.execute(f"SELECT * FROM {name}")] for name in names}
    ids = {row["run_uuid"]: row["value"] for row in tables["tags"] if row["key"] == "kerastudy.key"}
    ids |= {row["dataset_uuid"]: f"dataset {row['name']}" for row in tables["datasets"]}
    ids |= {row["input_uuid"]: f"input of {ids[row['destination_id']]}" for row in tables["inputs"]}
    ids[str(home)] = "home"

    def show(value):
        for identifier, name in ids.items():
            value = value.replace(identifier, name) if isinstance(value, str) else value
        return value

    return {
        name: sorted(
            str({key: show(value) for key, value in row.items() if key not in _RANDOM.get(name, ())}) for row in rows
        )
        for name, rows in tables.items()
        if rows
    }
