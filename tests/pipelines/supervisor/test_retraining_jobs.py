"""Retrainings of finalists: seeds and lost workers, with scripted trainings on a real database."""

from dataclasses import replace

import pytest
from desk import Desk
from fake_engine import Ends
from scripted_finalists import engine, retraining_of, run, script

from pipelines.workspace.home import Home
from tracking.outbox.records import TrialFinished, TrialStarted
from tracking.store.database import Store
from tracking.store.retrainings import Retrainings


@pytest.fixture
def desk(tmp_path):
    with Store.open(tmp_path) as store:
        yield Desk(store, Home(tmp_path, str(tmp_path)))


def test_each_training_has_a_seed_of_its_own_and_no_rungs(desk):
    """A further training differs from its trial in seed and folder; it is stored, and recorded for MLflow."""
    made = engine()
    run(desk, made)
    again = [job for job in made.jobs if retraining_of(job)]
    searched = {job.number: job for job in made.jobs if not retraining_of(job)}
    assert len(again) == 9
    assert len({job.seed for job in made.jobs}) == 13
    assert all(job.values == searched[job.number].values and not job.rungs for job in again)
    stored = Retrainings(desk.store).list("it")
    assert [(each.number, each.name) for each in stored] == [
        (number, f"seed-{seed}") for number in (0, 1, 2) for seed in (1, 2, 3)
    ]
    assert {each.seed for each in stored} == {job.seed for job in again}
    told = [record for record in desk.records(TrialStarted) if record.retraining]
    assert {(record.number, record.retraining) for record in told} == {(each.number, each.name) for each in stored}
    ends = [record for record in desk.records(TrialFinished) if record.retraining]
    assert all(record.best_so_far is None and record.state == "complete" for record in ends)


def test_a_training_that_lost_its_worker_goes_on(desk):
    """A worker's death costs an attempt; an error costs the training, and its trial is ranked by the others."""
    tries = []

    def unlucky(job):
        name = retraining_of(job)
        if (job.number, name) == (2, "seed-1"):
            tries.append(job)
            if len(tries) == 1:
                raise Ends("died", "killed by signal 9")
        if (job.number, name) == (2, "seed-2"):
            raise Ends("error", "ValueError: no")
        return (yield from script(job))

    ended = run(desk, engine(unlucky))
    assert len(tries) == 2
    assert ended.finalists[0].scores == (0.4, 0.6)
    assert "seed-2 of trial 2 failed: ValueError: no" in ended.reason
    [failed] = [each for each in Retrainings(desk.store).list("it") if each.state == "failed"]
    assert (failed.number, failed.name, failed.value, failed.reason) == (2, "seed-2", None, "ValueError: no")


def in_a_fleet(job):
    """Train by the script, as a fleet does."""
    return replace((yield from script(job)), trainer="fleet")


def test_finalists_that_trained_in_a_fleet_train_again_in_one(desk):
    """One fleet for each seed, with the trials' program: its job gets every finalist once, and leaves no weights."""
    made = engine(in_a_fleet)
    ended = run(desk, made, fleet="3")
    assert [job.envelope for job in made.fleets[-3:]] == [made.fleets[0].envelope] * 3
    assert made.functions == []
    names = [(job.number, retraining_of(job)) for job in made.jobs if retraining_of(job)]
    assert names == [(number, f"seed-{seed}") for seed in (1, 2, 3) for number in (0, 2, 1)]
    assert (ended.finalists[0].number, ended.finalists[0].scores) == (2, (0.4, 0.5, 0.6))
    assert {each.trainer for each in Retrainings(desk.store).list("it")} == {"fleet"}
    assert not list(desk.home.locate_study("it").glob("retrainings/**/weights.npz"))


def test_retrainings_of_a_fleet_that_failed_train_alone(desk):
    """Those that had ended keep their results."""

    def unlucky(job):
        if (job.number, retraining_of(job)) == (2, "seed-2"):
            tries.append(job)
            if len(tries) == 1:
                raise Ends("died", "killed by signal 9")
        return (yield from in_a_fleet(job))

    tries = []
    made = engine(unlucky)
    ended = run(desk, made, fleet="3")
    assert ended.finalists[0].scores == (0.4, 0.5, 0.6)
    assert len(made.functions) == 3
    assert len(Retrainings(desk.store).list("it")) == 9
