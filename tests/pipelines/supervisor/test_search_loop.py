"""Reasons to start no further trial, and the trials of another store, with scripted trials."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import pytest
from desk import FILE, scores
from fake_engine import Ends, FakeEngine, leave_files, training
from small_studies import study_of

from pipelines.engines.base import Layout
from pipelines.supervisor.event_text import format_opening
from pipelines.supervisor.events import EpochEnded, Noted, TrialEnded
from pipelines.training.messages import TrialOutcome, TrialResult


def test_a_target_ends_the_study(desk):
    """No trial starts once a score is at least as good as the target."""
    last = desk.run(FakeEngine(scores(3.0, 2.0, 0.5, 0.1)), trials=9, budget=", target: 0.5")[-1]
    assert (last.reason, last.trials) == ("target 0.5 reached", {"complete": 3})


def test_patience_ends_the_study(desk):
    """Trials that finish without a better score are counted from the best one; failures are not."""
    engine = FakeEngine(scores(3.0, 1.0, Ends("error", "no"), 2.0, 5.0, 5.0))
    last = desk.run(engine, trials=20, budget=", patience: 2")[-1]
    assert last.reason == "no better score in 2 trials"
    assert last.trials == {"complete": 4, "failed": 1}
    assert last.winner == 1


def test_time_ends_the_study_and_is_counted_over_pauses(desk):
    """Working time is what counts: it adds up over runs, and no trial starts when it is used up."""
    clock = SimpleNamespace(now=1000.0)

    def on_event(event):
        clock.now += 15.0  # three epochs and the end: a minute each trial

    first = desk.supervisor(
        FakeEngine(scores(1.0), on_event=on_event), trials=50, budget=", time: 150s", clock=lambda: clock.now
    )
    for event in first.run():
        if isinstance(event, TrialEnded):
            first.pause()
    assert event.state == "paused"
    clock.now += 10_000.0  # the pause
    engine = FakeEngine(scores(1.0), on_event=on_event)
    last = desk.run(engine, trials=50, budget=", time: 150s", clock=lambda: clock.now)[-1]
    assert last.reason == "time budget of 150 s used up"
    assert last.trials == {"complete": 3}
    assert desk.queue.get("it").elapsed_s == pytest.approx(195.0)


def test_a_grid_ends_the_study(desk):
    """A grid with fewer points than the budget ends when each was tried."""
    study = study_of(
        FILE.format(fleet="off", trials=50, pruner="none", sampler="grid", budget="", keep=1, selection="").replace(
            "{type: float, low: 1e-4, high: 1.0, log: true}", "[0.1, 0.2, 0.3]"
        )
    )
    last = desk.run(FakeEngine(scores(1.0)), study=study)[-1]
    assert (last.reason, last.trials) == ("every combination of the grid was tried", {"complete": 3})


def test_a_fatal_error_ends_the_study(desk):
    """A trial with a fatal error has failed, with the study; trials that run beside it are put back."""

    def script(job):
        if job.number != 1:
            return (yield from training(job, [1.0] * (2 if job.number == 0 else 9)))
        yield from training(job, [1.0, 1.0, 1.0])
        shutil.rmtree(job.folder)
        return TrialOutcome("fatal", reason="FatalError: no licence (model.py, line 3)", traceback="Traceback: here")

    engine = FakeEngine(script, workers=2, test_scores={})
    last = desk.run(engine, trials=9)[-1]
    why = "trial 1 ended the search: FatalError: no licence (model.py, line 3)"
    assert (last.state, last.reason) == ("failed", why)
    assert [trial.state for trial in desk.trials()] == ["complete", "failed", "running"]
    assert desk.trials()[1].reason == "FatalError: no licence (model.py, line 3)"
    assert (desk.home.locate_trial("it", 1) / "artifacts" / "traceback.txt").read_text() == "Traceback: here"
    assert engine.stopped == ["trial-2"]
    assert desk.run(FakeEngine(scores(1.0), test_scores={}), trials=9)[-1].trials == {"complete": 8, "failed": 1}


def test_a_study_left_by_another_store_is_not_taken_up(desk):
    """Files of a trial's number that were there before it began are another store's, and are removed."""
    stale = TrialResult("complete", 0.001, 0, {"val_loss": 0.001}, (), 1, 1.0)
    leave_files(desk.home.locate_trial("it", 0), stale)
    first = desk.supervisor(FakeEngine(scores(2.0)), trials=1)
    next(event for event in first.run() if isinstance(event, EpochEnded))
    first._control.release()
    assert desk.run(FakeEngine(scores(2.0)), trials=1)[-1].value == 2.0


def test_trials_over_parts_of_a_cpu_are_stated(desk):
    """Without GPUs resources.devices divides the CPU, which is a rehearsal: the run states it and names the key."""
    events = desk.run(FakeEngine(scores(1.0), test_scores={}), trials=1, fleet='"off", devices: 2')
    [note] = [event.note for event in events if isinstance(event, Noted)]
    assert note.startswith("workers have no GPU, so resources.devices divides the CPU into 2")


def test_the_layout_of_the_engine_is_stated(desk):
    """The line of the engine's devices opens the run, and no line where there is nothing to state."""
    engine = FakeEngine(scores(1.0), test_scores={})
    engine.layout = Layout("2 GPUs: 1 trial on each (resources.gpus)", 10**9)
    opening = format_opening(desk.run(engine, trials=1)[0])
    assert "2 GPUs: 1 trial on each (resources.gpus)" in opening.splitlines()
