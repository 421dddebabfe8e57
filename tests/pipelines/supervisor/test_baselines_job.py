"""The job of a study's baselines: beside the trials, once, and never in their way."""

from __future__ import annotations

import pytest
from desk import scores
from fake_engine import Ends, FakeEngine

from pipelines.baselines.results import Baseline, Baselines, read_baselines, write_baselines
from pipelines.supervisor.event_text import format_end, format_event
from pipelines.supervisor.events import BaselinesReady, TrialBegan
from tracking.outbox.records import StudyClosed

FOUND = Baselines("val_loss", "minimize", "ab" * 32, (Baseline("mean", "predicting the mean", 1.5),))
TEXT = "baselines: predicting the mean has val_loss 1.5"


@pytest.fixture(autouse=True)
def _baselines_on(monkeypatch):
    monkeypatch.setenv("KERASTUDY_BASELINES", "on")


class Engine(FakeEngine):
    """An engine whose job of baselines writes their file, as a worker does."""

    def submit(self, job):
        super().submit(job)
        if job.name == "baselines" and job.name in self._others:
            write_baselines(self.folder, FOUND)


def run(desk, script, *, others=None, **settings):
    engine = Engine(script, others={"baselines": FOUND} if others is None else others)
    engine.folder = desk.home.locate_study("it")
    return engine, desk.run(engine, **settings)


def test_baselines_are_scored_beside_the_first_trials(desk):
    """With a single worker too: the first trial starts before them, and the end of the study states them."""
    engine, events = run(desk, scores(2.0, 1.0), trials=2)
    kinds = [type(event) for event in events]
    assert kinds.index(TrialBegan) < kinds.index(BaselinesReady)
    (scored,) = [event for event in events if isinstance(event, BaselinesReady)]
    assert format_event(scored) == TEXT
    (job,) = [job for job in engine.other_jobs if job.name == "baselines"]
    assert job.aside
    last = events[-1]
    assert (last.baselines, last.unbeaten) == (FOUND, "")
    assert format_end(last)[-1] == TEXT
    closed = desk.records(StudyClosed)[-1]
    assert closed.metrics["baseline_mean_val_loss"] == 1.5
    assert closed.tags["kerastudy.unbeaten"] == ""


def test_a_winner_that_beats_no_baseline_has_a_note(desk):
    """In the last event, its text, and the record for MLflow."""
    _, events = run(desk, scores(2.0), trials=1)
    reason = "no better than predicting the mean: val_loss 2 against 1.5"
    assert events[-1].unbeaten == reason
    assert format_end(events[-1])[-1] == f"note: t000 is {reason}"
    assert desk.records(StudyClosed)[-1].tags["kerastudy.unbeaten"] == reason


def test_baselines_are_scored_once(desk):
    """A study that goes on has them; those of other data or another metric are scored again."""
    run(desk, scores(2.0), trials=1)
    engine, events = run(desk, scores(2.0, 1.0), trials=2)
    assert not [event for event in events if isinstance(event, BaselinesReady)]
    assert events[-1].baselines == FOUND
    write_baselines(desk.home.locate_study("it"), Baselines("val_loss", "minimize", "other"))
    engine, events = run(desk, scores(2.0, 1.0, 1.0), trials=3)
    assert [job.name for job in engine.other_jobs].count("baselines") == 1


def test_a_failure_is_stored_as_the_reason(desk):
    """The study goes on without them, and does not try again."""
    _, events = run(desk, scores(2.0), others={}, trials=1)
    assert events[-1].state == "finished"
    known = read_baselines(desk.home.locate_study("it"))
    assert known.skipped.startswith("no baselines: ValueError: no scores in this test; see ")
    engine, _ = run(desk, scores(2.0, 1.0), trials=2)
    assert "baselines" not in [job.name for job in engine.other_jobs]


class LosingEngine(Engine):
    """An engine that loses the worker of the baselines some times."""

    losses = 0

    def _other(self, job):
        if job.name == "baselines" and self.losses:
            self.losses -= 1
            raise Ends("died", "its worker on the Ray node n2 was lost")
        return (yield from super()._other(job))


@pytest.mark.parametrize(("losses", "attempts", "skipped"), [(1, 2, ""), (2, 2, "was lost"), (3, 2, "was lost")])
def test_a_lost_worker_costs_an_attempt(desk, losses, attempts, skipped):
    """Baselines whose node was lost are scored on another one, once."""
    engine = LosingEngine(scores(2.0, 1.0), others={"baselines": FOUND})
    engine.folder, engine.losses = desk.home.locate_study("it"), losses
    events = desk.run(engine, trials=2)
    assert len(list_baseline_jobs(engine)) == attempts
    (scored,) = [event for event in events if isinstance(event, BaselinesReady)]
    assert skipped in scored.baselines.skipped
    assert bool(scored.baselines.skipped) == bool(skipped)


def list_baseline_jobs(engine):
    return [job for job in engine.other_jobs if job.name == "baselines"]


def test_baselines_can_be_turned_off(desk, monkeypatch):
    """By the study file, and for all studies by the environment."""
    engine, events = run(desk, scores(2.0), trials=1, selection="baselines: false")
    assert (list_baseline_jobs(engine), events[-1].baselines) == ([], None)
    monkeypatch.setenv("KERASTUDY_BASELINES", "off")
    engine, _ = run(desk, scores(2.0, 2.0), trials=2)
    assert list_baseline_jobs(engine) == []
