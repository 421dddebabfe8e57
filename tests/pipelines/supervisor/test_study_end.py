"""End of a study: kept models written, the winner scored, the state recorded; with scripted trials."""

from __future__ import annotations

import pytest
from desk import SUMMARY, scores
from fake_engine import Ends, FakeEngine, training

from pipelines.data.prepared import DataSummary
from pipelines.engines.base import Job
from pipelines.recording.recorder import Recorder
from pipelines.supervisor.events import TrialEnded
from pipelines.training.trial_folder import WEIGHTS_FILE
from tracking.outbox.records import (
    ModelKept,
    StudyClosed,
)


def test_a_study_without_a_result_failed_with_a_reason(desk):
    """Where the budget ends before ten failures, the reason of the last failure is added."""
    last = desk.run(FakeEngine(scores(Ends("error", "too big"))), trials=3)[-1]
    assert (last.state, last.reason) == ("failed", "3 trials, and none completed; the last one failed: too big")
    [closed] = desk.records(StudyClosed)
    assert (closed.state, closed.winner, closed.register) == ("failed", None, None)


def test_a_study_that_promised_too_little_ends_at_once_when_it_is_run_again(desk):
    """Its estimates are kept with its trials; a process that knew none trained until it had three."""

    def script(job):
        return (yield from training(job, [job.values["learning_rate"]] * 3))

    facts = {"sampler": "gp", "trials": 20, "budget": ", improvement: 100"}
    ended = desk.run(FakeEngine(script), **facts)[-1]
    assert ended.reason.endswith("less than budget.improvement 100")
    again = FakeEngine(script)
    assert desk.run(again, **facts)[-1].reason == ended.reason
    assert again.jobs == []
    desk.run(again, **{**facts, "budget": ""})
    assert len(desk.trials()) == 20


def test_the_winner_is_scored_on_the_test_rows(desk):
    """Where there are test rows the winner's scores on them are in the events and recorded."""
    summary = DataSummary(**{**vars(SUMMARY), "rows": {"train": 8, "validation": 4, "test": 2}})
    last = desk.run(FakeEngine(scores(1.0), test_scores={"test_loss": 0.75}), trials=1, summary=summary)[-1]
    assert last.test == {"test_loss": 0.75}
    assert desk.records(StudyClosed)[0].test == {"test_loss": 0.75}


def test_a_winner_that_cannot_be_scored_on_the_test_rows_is_a_winner(desk):
    """The study is finished all the same, and its reason names what is missing."""
    summary = DataSummary(**{**vars(SUMMARY), "rows": {"train": 8, "validation": 4, "test": 2}})
    last = desk.run(FakeEngine(scores(1.0)), trials=1, summary=summary)[-1]
    assert (last.state, last.winner, last.test) == ("finished", 0, {})
    assert last.reason.startswith("1 trial; the winner has no scores on the test rows: test failed: ValueError")


def test_a_further_winner_is_a_further_look_at_the_test_rows(desk):
    """A study that goes on may score another trial on them, which its reason states."""
    summary = DataSummary(**{**vars(SUMMARY), "rows": {"train": 8, "validation": 4, "test": 2}})
    engine = FakeEngine(scores(1.0, 0.5), test_scores={"test_loss": 0.75})
    assert desk.run(engine, trials=1, summary=summary)[-1].reason == "1 trial"
    (desk.home.locate_trial("it", 0) / "test.json").write_text("{}")
    assert desk.run(engine, trials=1, summary=summary)[-1].reason == "1 trial"
    last = desk.run(engine, trials=2, summary=summary)[-1]
    assert last.winner == 1
    assert last.reason.startswith("2 trials; the test rows have scored t000 before")


@pytest.fixture(autouse=True)
def _read_requests_at_once(monkeypatch):
    """Let the supervisor read requests whenever it can, and not once a second: trials here end at once."""
    monkeypatch.setattr("pipelines.supervisor.study_control._READ_REQUESTS_EVERY_S", -1.0)


def test_a_request_is_obeyed_while_models_are_written(desk, monkeypatch):
    """A pause that comes at the end, while the winner is scored, is no defect: the study is paused."""
    monkeypatch.setattr(Recorder, "find_missing_models", lambda self: (0,))
    monkeypatch.setattr(
        "pipelines.supervisor.study_end.make_models_job", lambda *given: Job("models", "", (), desk.home.folder)
    )
    supervisor = desk.supervisor(FakeEngine(scores(1.0), test_scores={}), trials=1)
    for event in supervisor.run():
        if isinstance(event, TrialEnded):
            desk.queue.set_control_request("it", "pause")
    assert (event.state, event.trials) == ("paused", {"complete": 1})


def test_models_that_were_written_before_a_kill_are_recorded(desk):
    """A kill between a fleet's models on disk and their rows leaves nothing to write, and something to record."""
    for event in desk.supervisor(FakeEngine(scores(1.0), test_scores={}), trials=1).run():
        if isinstance(event, TrialEnded):
            (desk.home.locate_trial("it", 0) / WEIGHTS_FILE).write_bytes(b"")
    assert [record.number for record in desk.records(ModelKept)] == [0]


@pytest.mark.parametrize(("control_request", "stays"), [(None, False), ("cancel", False), ("pause", True)])
def test_checkpoints_of_retrainings_end_with_the_study(desk, control_request, stays):
    """One that was cut off and is not needed any more leaves none, nor does a cancelled study; a paused one goes on."""
    left = desk.home.locate_retraining("it", 0, "seed-1") / "fold-0.checkpoint"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"")
    supervisor = desk.supervisor(FakeEngine(scores(1.0), test_scores={}), trials=1)
    if control_request is not None:
        supervisor._control.obey(control_request)
    list(supervisor.run())
    assert left.exists() == stays
