"""Jobs and answers of a repeated training: scripted engines, no training."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from desk import Desk, scores
from fake_engine import Ends, FakeEngine, training

from pipelines.data.prepared_folder import load_summary
from pipelines.operations.replay.rerun import (
    RecordedResponder,
    RecordedTrial,
    TrainingOutcome,
    read_recorded_trial,
    train_again,
)
from pipelines.study.context import StudyContext
from pipelines.supervisor.trial_jobs import compute_trial_seed
from pipelines.training.fleet.messages import SlotsFree
from pipelines.training.messages import TrialOutcome
from pipelines.training.trial_folder import locate_epochs_file
from pipelines.workspace.home import Home
from search_spaces.errors import ConflictError


@pytest.fixture
def desk(store, tmp_path, monkeypatch):
    """A submitted study whose report goes without pictures."""
    monkeypatch.setattr("tracking.reports.study_report.write_pngs", lambda figures, folder: ())
    return Desk(store, Home(tmp_path / "home", str(tmp_path / "home")))


@pytest.fixture
def again(desk, tmp_path):
    """Return a function that trains the first trial of the study again: its outcome, and the engine."""

    def make(script, *, trainer="graph", fleet="off", report_epoch=lambda done: None, **changes):
        trial = desk.trials()[0]
        past = read_recorded_trial(replace(trial, trainer=trainer), desk.home.locate_trial("it", 0)).outcome
        engine = FakeEngine(script)
        study = desk.study(fleet=fleet)
        data, folder = desk.home.locate_data("it"), tmp_path / "again"
        context = StudyContext.from_study(study, load_summary(data), desk.home)
        recorded = RecordedTrial(trial, replace(past, **changes))
        return train_again(context, recorded, data, folder, engine, report_epoch), engine

    return make


def test_a_trial_is_what_it_was_but_for_its_folder(desk, again):
    """Values, seed, metric and data are those of the trial; nothing prunes it, and no limit rejects it."""
    engine = FakeEngine(scores(1.0))
    desk.run(engine, pruner="median")
    outcome, repeated = again(scores(1.0))
    [job], was = repeated.jobs, engine.jobs[0]
    assert job == replace(was, folder=job.folder, rungs=frozenset(), most_parameters=None, most_model_bytes=None)
    assert job.seed == compute_trial_seed(3, 0)
    assert (outcome.state, outcome.best_epoch, outcome.value) == ("complete", 2, 1.0)
    assert outcome.epochs == read_recorded_trial(desk.trials()[0], desk.home.locate_trial("it", 0)).outcome.epochs


def test_a_trial_keeps_its_recorded_configuration(desk, again):
    """The study's seed and space may have changed since: the trial's recorded seed and its layers' parameters count."""
    desk.run(FakeEngine(scores(1.0)))
    _, engine = again(scores(1.0), config={"seed": 99, "per_layer": ["units"]})
    assert (engine.jobs[0].seed, engine.jobs[0].per_layer) == (99, frozenset({"units"}))


def test_a_pruned_trial_is_pruned_where_it_was(desk, again):
    """The only rung is the last epoch that it had, and there it ends; its script would continue."""
    desk.run(FakeEngine(scores(1.0)))
    outcome, engine = again(scores(1.0), state="pruned", epochs=({"val_loss": 3.0}, {"val_loss": 1.0}))
    assert engine.jobs[0].rungs == {1}
    assert (outcome.state, len(outcome.epochs)) == ("pruned", 2)


@pytest.mark.parametrize(("trainer", "by_fit"), [("fit", True), ("user", True), ("graph", False), ("", False)])
def test_a_trial_has_its_trainer_again(desk, again, trainer, by_fit):
    """A trial that `fit` trained is trained by `fit` again, also where the graph trainer could."""
    desk.run(FakeEngine(scores(1.0)))
    _, engine = again(scores(1.0), trainer=trainer)
    assert (engine.jobs[0].by_fit, engine.fleets) == (by_fit, [])


def test_a_trial_of_a_fleet_trains_alone_in_the_same_program(desk, again):
    """The program and its slots are those of the study; the trial has the outcome that the fleet sends."""
    engine = FakeEngine(scores(1.0))
    desk.run(engine, fleet="2")
    epochs = []
    outcome, repeated = again(
        scores(1.0), trainer="fleet", fleet="2", report_epoch=lambda done: epochs.append(done.epoch)
    )
    assert replace(repeated.fleets[0], data="") == replace(engine.fleets[0], data="")
    assert [job.number for job in repeated.jobs] == [0]
    assert (outcome.state, outcome.value, epochs) == ("complete", 1.0, [0, 1, 2])


def test_a_pruned_trial_of_a_fleet_is_pruned_where_it_was(desk, again):
    """A fleet requests the decision for all of its trials at once."""
    desk.run(FakeEngine(scores(1.0)), fleet="2")
    past = {"state": "pruned", "epochs": ({"val_loss": 3.0},)}
    outcome, _ = again(scores(1.0), trainer="fleet", fleet="2", **past)
    assert (outcome.state, len(outcome.epochs)) == ("pruned", 1)


def test_a_trial_has_a_program_of_its_own_where_its_study_has_none(desk, again):
    """A study whose fleets were turned off since gives a trial of a fleet the smallest program that holds it."""
    desk.run(FakeEngine(scores(1.0)), fleet="2")
    _, engine = again(scores(1.0), trainer="fleet", fleet="off")
    assert (engine.fleets[0].slots, engine.fleets[0].envelope.depth) == (1, 2)


def test_without_jax_a_trial_of_a_fleet_trains_alone(desk, again, monkeypatch):
    """It is trained by the other trainers then, and compared as they are."""
    desk.run(FakeEngine(scores(1.0)), fleet="2")
    monkeypatch.setattr("pipelines.operations.replay.rerun.importlib.util.find_spec", lambda name: None)
    outcome, engine = again(scores(1.0), trainer="fleet", fleet="2")
    assert (outcome.state, engine.fleets) == ("complete", [])


def test_a_trial_that_fails_keeps_its_epochs(desk, again):
    """The reason and the epochs before it are what there is to compare."""
    desk.run(FakeEngine(scores(1.0)))

    def breaks(job):
        trains = training(job, [3.0, 2.0])
        yield next(trains)
        raise Ends("error", "ValueError: no\nmore")

    outcome, _ = again(breaks)
    assert (outcome.state, outcome.reason, len(outcome.epochs)) == ("failed", "ValueError: no; more", 1)


def test_a_rejected_trial_has_its_limit_again(desk, again):
    """Only a trial that was never trained has its limits again."""
    desk.run(FakeEngine(scores(1.0)))

    def rejects(job):
        return TrialOutcome("rejected", reason="not trained: too large")
        yield

    outcome, engine = again(rejects, state="pruned", value=None, epochs=())
    assert (outcome.state, outcome.reason, outcome.was_rejected) == ("pruned", "not trained: too large", True)
    assert engine.jobs[0].rungs == frozenset()


def test_the_epochs_of_a_failed_trial_are_those_it_reported(desk):
    """A trial without a result has the lines of its epochs file."""
    desk.run(FakeEngine(scores(Ends("error", "ValueError: no"))))
    folder = desk.home.locate_trial("it", 0)
    folder.mkdir(parents=True, exist_ok=True)
    locate_epochs_file(folder, 0).write_text(
        '{"epoch": 0, "of": 3, "fold": 0, "at_ms": 1, "metrics": {"val_loss": 2.0}}\n'
    )
    outcome = read_recorded_trial(desk.trials()[0], folder).outcome
    assert (outcome.state, outcome.reason, outcome.epochs) == ("failed", "ValueError: no", ({"val_loss": 2.0},))


def test_a_pruned_trial_without_its_files_is_refused(desk):
    """The epoch after which it was pruned is unknown."""
    desk.run(FakeEngine(scores(1.0)))
    shutil.rmtree(desk.home.locate_trial("it", 0))
    pruned = replace(desk.trials()[0], state="pruned")
    with pytest.raises(ConflictError, match="its number of epochs is unknown"):
        read_recorded_trial(pruned, desk.home.locate_trial("it", 0))


def test_a_complete_trial_without_its_files_has_its_score(desk):
    """Its outcome is that in the store."""
    desk.run(FakeEngine(scores(1.0)))
    outcome = read_recorded_trial(desk.trials()[0], Path("nowhere")).outcome
    assert outcome == TrainingOutcome("complete", "", "", (), 2, 1.0)


def test_a_fleet_of_several_slots_gets_the_trial_once(desk, again):
    """Each slot requests a trial at its own epoch, and the same one in two of them fails both."""
    desk.run(FakeEngine(scores(1.0)))
    job = again(scores(1.0))[1].jobs[0]
    responder, ended = RecordedResponder(job, {}, lambda done: None), TrialOutcome("failed", reason="ended")
    answers = [responder.answer(SlotsFree(free, {})) for free in (2, 1)]
    answers += [responder.answer(SlotsFree(1, outcomes)) for outcomes in ({job.number: ended}, {})]
    assert answers == [(job,), (), (), ()]
    assert responder.outcome is ended
