"""Backfill of a study from the store and the files of its trials, without MLflow."""

from __future__ import annotations

import pytest
from desk import SUMMARY, Desk, scores
from fake_engine import Ends, FakeEngine

from pipelines.operations.submit import enqueue
from pipelines.recording.backfill import Backfill, PreviousRecords, backfill_study
from pipelines.study.context import StudyContext
from pipelines.workspace.home import Home
from tracking.outbox.records import StudyClosed, StudyOpened, TrialFinished

NONE_BEFORE = PreviousRecords(None, None)


@pytest.fixture
def desk(store, tmp_path, monkeypatch):
    monkeypatch.setattr("tracking.reports.study_report.write_pngs", lambda figures, folder: ())
    return Desk(store, Home(tmp_path / "home", str(tmp_path / "home")))


def backfill(desk: Desk, previous: PreviousRecords = NONE_BEFORE) -> Backfill | None:
    context = StudyContext.from_study(desk.study(), SUMMARY, desk.home)
    return backfill_study(context, desk.queue.get("it"), previous, desk.store.open_optuna_storage())


def test_a_study_that_has_not_started_has_no_records(desk):
    """A study that only waits in the queue is not in Optuna yet."""
    enqueue(desk.study(), SUMMARY, desk.store)
    assert backfill(desk) is None


def test_a_backfill_has_the_records_of_the_study(desk):
    """Ends of trials and of the study are those that were recorded, and a second backfill is equal to the first."""
    desk.run(FakeEngine(scores(3.0, Ends("error", "no"), 2.0, 1.0)), trials=4)
    made = backfill(desk)
    assert (made.trials, made.notes) == (4, ())
    assert made == backfill(desk)
    recorded = desk.records(TrialFinished)
    rebuilt = [record for record in made.records if isinstance(record, TrialFinished)]
    assert [(each.number, each.state, each.value, each.best_so_far) for each in rebuilt] == [
        (each.number, each.state, each.value, each.best_so_far) for each in recorded
    ]
    closed = made.records[-1]
    assert (closed.state, closed.winner, closed.trials) == ("finished", 3, {"complete": 3, "failed": 1})


def test_the_times_of_earlier_records_stay(desk):
    """The start and the end of a study are known to the outbox alone, so they are taken from it."""
    desk.run(FakeEngine(scores(1.0)), trials=4)
    previous = PreviousRecords(desk.records(StudyOpened)[0], desk.records(StudyClosed)[0])
    made = backfill(desk, previous)
    assert made.records[0].started_ms == previous.opened.started_ms
    assert made.records[-1].finished_ms == previous.closed.finished_ms
