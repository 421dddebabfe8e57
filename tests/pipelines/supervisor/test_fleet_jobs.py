"""Fleets as the supervisor runs them, with scripted trials on a real database."""

from __future__ import annotations

import pytest
from desk import scores
from fake_engine import Ends, FakeEngine, training

from pipelines.supervisor.events import FleetDivided, TrialBegan, TrialEnded
from tracking.outbox.records import TrialFinished, TrialStarted


@pytest.fixture(autouse=True)
def _skip_plots(monkeypatch):
    """Leave the report unwritten: its pictures take longer than the studies here."""
    monkeypatch.setattr("tracking.reports.study_report.write_pngs", lambda figures, folder: ())


@pytest.mark.parametrize("workers", [1, 2])
def test_a_budget_gives_exactly_that_many_trials(desk, workers):
    """N trials of budget are N trials, each started and ended once, at most as many at a time as there are slots."""
    engine = FakeEngine(scores(3.0, 2.0, 1.0, 4.0), workers=workers)
    events = desk.run(engine, trials=11, fleet="3")
    assert [trial.number for trial in desk.trials()] == list(range(11))
    assert sorted(event.number for event in events if isinstance(event, TrialBegan)) == list(range(11))
    assert sorted(event.number for event in events if isinstance(event, TrialEnded)) == list(range(11))
    assert (events[-1].state, events[-1].winner, events[-1].trials) == ("finished", 2, {"complete": 11})
    assert {fleet.slots for fleet in engine.fleets} == {3}
    assert len(desk.records(TrialStarted)) == len(desk.records(TrialFinished)) == 11


def test_a_free_slot_is_filled_at_once(desk):
    """A trial that ends early makes room for the next one while the others of its fleet go on."""
    heard = []

    def script(job):
        heard.append(f"begin {job.number}")
        result = yield from training(job, [1.0] * (2 if job.number == 1 else 6))
        heard.append(f"end {job.number}")
        return result

    engine = FakeEngine(script)
    desk.run(engine, trials=3, fleet="2")
    assert len(engine.fleets) == 1
    assert heard == ["begin 0", "begin 1", "end 1", "begin 2", "end 0", "end 2"]


def test_pruning_reaches_the_members_of_a_fleet(desk):
    """The pruner ends trials in a fleet as it ends others, and the rest goes on."""
    engine = FakeEngine(scores(1.0, 1.1, 9.0, 9.0, 9.0, 9.0))
    last = desk.run(engine, trials=6, fleet="1", pruner="median", epochs=5)[-1]
    assert last.trials.get("pruned", 0) >= 1
    assert sum(last.trials.values()) == 6


def test_a_fleet_that_dies_loses_no_trial(desk):
    """A fleet whose worker dies is tried again in smaller ones, and the guilty trial in the end alone."""
    engine = FakeEngine(_deadly(3))
    events = desk.run(engine, trials=6, fleet="4")
    assert events[-1].trials == {"complete": 5, "failed": 1}
    assert [trial.number for trial in desk.trials() if trial.state == "failed"] == [3]
    assert [fleet.slots for fleet in engine.fleets][:2] == [4, 2]
    assert sorted(event.number for event in events if isinstance(event, TrialEnded)) == list(range(6))


def _deadly(number):
    def script(job):
        if job.number == number:
            raise Ends("died", "the worker process was killed by SIGSEGV")
        return (yield from training(job, [2.0, 1.0]))

    return script


def test_trials_of_a_fleet_continue_after_a_pause(desk):
    """A study that is paused while a fleet trains runs its trials again, under their own numbers."""
    supervisor = None

    def on_event(event):
        if len(desk.trials()) >= 2:
            supervisor.pause()

    engine = FakeEngine(scores(1.0), on_event=on_event)
    supervisor = desk.supervisor(engine, trials=5, fleet="2")
    assert list(supervisor.run())[-1].state == "paused"
    assert engine.stopped == ["fleet-1"]
    again = FakeEngine(scores(1.0))
    last = desk.run(again, trials=5, fleet="2")[-1]
    assert last.trials == {"complete": 5}
    assert [trial.number for trial in desk.trials()] == list(range(5))


def test_a_fleet_that_dies_has_an_event(desk):
    """Its trials continue in smaller fleets, and the event has the reason."""
    tries = []

    def script(job):
        tries.append(job.number)
        going = training(job, [1.0, 1.0])
        yield next(going)
        if len(tries) == 2:
            raise Ends("memory", "over its memory limit")
        return (yield from going)

    events = desk.run(FakeEngine(script), trials=4, fleet="2")
    assert [event for event in events if isinstance(event, FleetDivided)] == [FleetDivided(2, "over its memory limit")]
    assert events[-1].trials == {"complete": 4}
