"""Ends of trials: errors, lost workers and attempts, with scripted trials on a real database."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from desk import scores
from fake_engine import Ends, FakeEngine, leave_files, training
from small_studies import study_of

from pipelines.engines.base import Event, Failed, Job
from pipelines.supervisor.events import EpochEnded, TrialTriedAgain
from pipelines.training.messages import TrialOutcome
from tracking.outbox.records import (
    EpochsRecorded,
    TrialFinished,
)


@pytest.mark.parametrize("kind", ["input", "error"])
def test_each_error_costs_one_trial(desk, kind):
    """A trial whose code raises an error fails with the stated reason on one line, and the study goes on."""
    script = scores(Ends(kind, "first line\nsecond line", "Traceback: here"), 1.0)
    events = desk.run(FakeEngine(script), trials=2)
    failed = desk.trials()[0]
    assert (failed.state, failed.value, failed.reason) == ("failed", None, "first line; second line")
    assert (events[-1].state, events[-1].winner) == ("finished", 1)
    assert (desk.home.locate_trial("it", 0) / "artifacts" / "traceback.txt").read_text() == "Traceback: here"
    [record] = [record for record in desk.records(TrialFinished) if record.number == 0]
    assert (record.state, record.reason, record.metrics) == ("failed", "first line; second line", {})


def test_a_trial_whose_model_is_too_large_is_no_failure(desk):
    """A trial that was not trained because of a ceiling counts as pruned, without a score."""

    def script(job):
        if job.number == 0:
            return TrialOutcome("rejected", reason="not trained: too many parameters")
        return (yield from training(job, [1.0]))

    last = desk.run(FakeEngine(script), trials=2)[-1]
    assert (last.trials, last.winner) == ({"complete": 1, "pruned": 1}, 1)
    assert (desk.trials()[0].value, desk.trials()[0].reason) == (None, "not trained: too many parameters")
    [record] = [record for record in desk.records(TrialFinished) if record.number == 0]
    assert (record.state, record.metrics, record.model) == ("pruned", {}, None)


def test_a_trial_without_a_value_of_a_further_objective_fails_alone(desk):
    """A metric that is NaN at the best epoch is left out of its metrics: that costs the trial, and not the study."""
    single = "objective: {metric: val_loss, direction: minimize}"
    several = "objectives: [{metric: val_loss}, {metric: val_r2_score}]"
    study = study_of(LIMITED.format(limits="", trials=2).replace(single, several))

    def script(job):
        found = yield from training(job, [1.0])
        if job.number == 0:
            return found
        found = replace(found, metrics={**found.metrics, "val_r2_score": 0.5})
        leave_files(Path(job.folder), found)
        return found

    last = desk.run(FakeEngine(script), study=study)[-1]
    assert (last.state, last.winner, last.trials) == ("finished", 1, {"complete": 1, "failed": 1})
    assert desk.trials()[0].reason == "val_r2_score was no number, or not reported, in epoch 1, the best one"


def test_a_worker_that_dies_after_its_result_costs_nothing(desk):
    """A result on disk is the trial's result, whatever became of the worker that wrote it."""

    def script(job):
        yield from training(job, [1.0])
        raise Ends("died", "killed by SIGKILL")

    last = desk.run(FakeEngine(script), trials=1)[-1]
    assert (last.state, last.trials, last.value) == ("finished", {"complete": 1}, 1.0)


LIMITED = """
study: it
data: {{source: data.csv, target: y}}
model: mlp
space: {{epochs: 3}}
objective: {{metric: val_loss, direction: minimize}}
search: {{sampler: random, pruner: none}}
budget: {{trials: {trials}}}
limits: {{{limits}}}
resources: {{workers: 1, fleet: "off"}}
"""


def limited(limits, trials=2):
    return study_of(LIMITED.format(limits=limits, trials=trials))


def dies(times, kind="died"):
    """Script a worker that dies so often in trial 0 after an epoch, before the trial succeeds."""
    tries = []

    def script(job):
        tries.append(job.number)
        going = training(job, [3.0, 2.0, 1.0])
        if job.number == 0 and tries.count(0) <= times:
            yield next(going)
            raise Ends(kind, f"lost\nin try {tries.count(0)}")
        return (yield from going)

    return script


class Timed(FakeEngine):
    """Notes the time that each job is given."""

    def submit(self, job: Job) -> None:
        self.times = [*getattr(self, "times", []), job.time_s]
        super().submit(job)


@pytest.mark.parametrize("kind", ["died", "stall", "memory"])
def test_a_lost_worker_costs_an_attempt_and_no_trial(desk, kind):
    """The trial is tried again under its number, with its values and seed; its reason is recorded everywhere."""
    engine = FakeEngine(dies(2, kind))
    events = desk.run(engine, trials=2)
    assert [job.number for job in engine.jobs] == [0, 0, 0, 1]
    assert engine.jobs[0] == engine.jobs[1] == engine.jobs[2]
    again = [event for event in events if isinstance(event, TrialTriedAgain)]
    assert [(event.reason, event.attempt, event.of) for event in again] == [
        ("lost; in try 1", 2, 3),
        ("lost; in try 2", 3, 3),
    ]
    trial = desk.trials()[0]
    assert (trial.state, trial.value, trial.reason) == ("complete", 1.0, "after 2 failed attempts: lost; in try 2")
    assert [attempt.reason for attempt in trial.failed_attempts] == ["lost; in try 1", "lost; in try 2"]
    assert events[-1].trials == {"complete": 2}
    [record] = [record for record in desk.records(TrialFinished) if record.number == 0]
    assert record.reason == trial.reason


def test_the_last_attempt_fails_the_trial(desk):
    """After `limits.attempts` tries the trial has failed, with the last reason, and the study goes on."""
    engine = FakeEngine(dies(99))
    events = desk.run(engine, study=limited("attempts: 2"))
    assert [job.number for job in engine.jobs] == [0, 0, 1]
    assert [trial.state for trial in desk.trials()] == ["failed", "complete"]
    assert desk.trials()[0].reason == "lost; in try 2 (attempt 2 of 2)"
    assert events[-1].state == "finished"


def test_one_attempt_is_no_retry(desk):
    """With one attempt a lost worker is the trial's end."""
    desk.run(FakeEngine(dies(1)), study=limited("attempts: 1"))
    assert (desk.trials()[0].state, desk.trials()[0].reason) == ("failed", "lost; in try 1")


def test_an_error_is_not_tried_again(desk):
    """Code that raises an error raises it again: no attempt is spent on it."""
    engine = FakeEngine(dies(1, "error"))
    desk.run(engine, trials=2)
    assert [job.number for job in engine.jobs] == [0, 1]


def test_attempts_are_counted_over_a_kill_of_the_supervisor(desk):
    """A trial that kills its worker each time comes to its end, however often the study is started again."""

    class KilledError(BaseException):
        pass

    for _ in range(2):
        with pytest.raises(KilledError):
            for event in desk.supervisor(FakeEngine(dies(99)), study=limited("attempts: 3", trials=1)).run():
                if isinstance(event, TrialTriedAgain):
                    raise KilledError
    engine = FakeEngine(dies(99))
    last = desk.run(engine, study=limited("attempts: 3", trials=1))[-1]
    assert len(engine.jobs) == 1
    assert last.trials == {"failed": 1}


def test_the_time_limit_is_one_for_all_attempts(desk):
    """A second attempt has what the first one left of the time; where nothing is left there is none."""
    now_s = 0.0

    def pass_time(event: Event) -> None:
        nonlocal now_s
        now_s += 40.0 if isinstance(event, Failed) else 0.0

    engine = Timed(dies(99), on_event=pass_time)
    desk.run(engine, clock=lambda: now_s, study=limited("attempts: 5, trial_time: 100s", trials=1))
    assert engine.times == [100.0, 60.0, 20.0]
    assert desk.trials()[0].state == "failed"


def test_an_attempt_records_no_epoch_twice(desk):
    """Epochs that an earlier attempt reported are sent with the same time, so that MLflow stores them once."""
    desk.run(FakeEngine(dies(2)), trials=1)
    points = {(epoch, at_ms) for record in desk.records(EpochsRecorded) for epoch, at_ms, _ in record.epochs}
    assert sorted(epoch for epoch, _ in points) == [0, 1, 2]


def test_a_cancellation_after_a_kill_keeps_what_was_trained(desk):
    """MLflow gets the epochs that the killed supervisor had not recorded yet."""
    events = desk.supervisor(FakeEngine(scores(1.0)), trials=2).run()
    for event in events:
        if isinstance(event, EpochEnded) and event.epoch == 2:
            break
    events.close()
    supervisor = desk.supervisor(FakeEngine(scores(1.0)), trials=2)
    supervisor._control.obey("cancel")
    list(supervisor.run())
    [trial] = desk.trials()
    assert (trial.state, trial.epochs) == ("cancelled", 2)
    recorded = [epoch for record in desk.records(EpochsRecorded) for epoch, _, _ in record.epochs]
    assert set(recorded) == {0, 1}
