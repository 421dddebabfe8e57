"""The supervisor with scripted trials on a real database: budgets, failures, pauses, kills and leases."""

from __future__ import annotations

import shutil
import threading
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest
import sqlalchemy as sa
from desk import FILE, SUMMARY, Desk, scores
from fake_engine import Ends, FakeEngine, training
from small_studies import study_of

from pipelines.engines.base import Finished, Reported
from pipelines.search.optuna_search import OptunaSearch
from pipelines.study.model_hyperparameters import compute_most_epochs
from pipelines.supervisor import study_control
from pipelines.supervisor.events import EpochEnded, SearchStarted, TrialBegan, TrialEnded, Watching
from pipelines.workspace.home import Home
from tracking.outbox.records import (
    EpochsRecorded,
    ModelDisplaced,
    StudyClosed,
    StudyOpened,
    TrialFinished,
    TrialStarted,
)
from tracking.store import lease_keeper
from tracking.store.database import Store
from tracking.store.study_queue import LeaseLostError, StudyBusyError, StudyQueue
from tracking.store.tables import studies as studies_table


def ended(events):
    return [event for event in events if isinstance(event, TrialEnded)]


# Budgets -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 3])
def test_a_budget_gives_exactly_that_many_trials(desk, workers):
    """N trials of budget are N trials, failed ones included, however many run at once."""
    engine = FakeEngine(scores(3.0, Ends("error", "no"), 2.0, 1.0), workers=workers)
    last = desk.run(engine, trials=7)[-1]
    assert [trial.number for trial in desk.trials()] == list(range(7))
    assert [job.number for job in engine.jobs] == list(range(7))
    assert last.trials == {"complete": 6, "failed": 1}
    assert (last.state, last.reason) == ("finished", "7 trials")
    assert (last.winner, last.value) == (3, 1.0)


def test_a_larger_budget_goes_on(desk):
    """The same study with a larger budget runs the difference."""
    desk.run(FakeEngine(scores(1.0)), trials=2)
    engine = FakeEngine(scores(1.0, 1.0, 0.5))
    events = desk.run(engine, trials=5)
    assert [job.number for job in engine.jobs] == [2, 3, 4]
    assert isinstance(events[0], SearchStarted)
    assert (events[0].done, events[0].best, events[0].budget) == (2, 1.0, 5)
    assert (events[-1].winner, events[-1].trials) == (2, {"complete": 5})


def test_a_study_that_is_done_only_ends_again(desk):
    """Running a finished study again trains nothing and ends the same way."""
    first = desk.run(FakeEngine(scores(1.0)), trials=2)[-1]
    again = desk.run(FakeEngine(scores(9.0)), trials=2)[-1]
    assert (again.state, again.reason, again.winner, again.value) == (
        first.state,
        first.reason,
        first.winner,
        first.value,
    )
    assert len(desk.trials()) == 2


@pytest.mark.parametrize(("direction", "winner"), [("minimize", 1), ("maximize", 2)])
def test_both_directions(desk, direction, winner):
    """The best is the least or the most, as the objective says."""
    text = FILE.format(fleet="off", trials=3, pruner="none", sampler="random", budget="", keep=1, selection="")
    study = study_of(text.replace("direction: minimize", f"direction: {direction}"))
    events = desk.run(FakeEngine(lambda job: training(job, [(2.0, 1.0, 3.0)[job.number]])), study=study)
    assert events[-1].winner == winner
    assert [event.is_best for event in ended(events)] == [True, winner == 1, winner == 2]
    assert desk.models() == [winner]


# Failures ----------------------------------------------------------------------------------------------------


def test_ten_failures_from_the_start_end_the_study(desk):
    """A study that cannot work ends after ten trials, with the reason of the last."""
    last = desk.run(FakeEngine(scores(Ends("error", "loss became nan"))), trials=50)[-1]
    assert (last.state, last.trials, last.winner) == ("failed", {"failed": 10}, None)
    assert last.reason == "the first 10 trials all failed, the last one with: loss became nan"
    assert desk.queue.get("it").state == "failed"


def test_ten_failures_after_a_success_do_not(desk):
    """One trial that worked shows that the study can work."""
    last = desk.run(FakeEngine(scores(1.0, Ends("error", "no"))), trials=14)[-1]
    assert (last.state, last.trials) == ("finished", {"complete": 1, "failed": 13})


def test_pruned_trials_are_neither_failed_nor_winners(desk):
    """A trial that the pruner ends counts, keeps its score and its reason, and leaves no model."""

    def script(job):
        return (yield from training(job, [1.0] * 5 if job.number < 3 else [5.0] * 3 + [0.1] * 2))

    last = desk.run(FakeEngine(script), trials=4, pruner="median", epochs=5)[-1]
    pruned = desk.trials()[3]
    assert (pruned.state, pruned.value, pruned.reason) == ("pruned", 5.0, "pruned after epoch 3")
    assert last.trials == {"complete": 3, "pruned": 1}
    assert last.winner == 0
    assert desk.models() == [0, 1, 2]


# Recording ---------------------------------------------------------------------------------------------------


def test_the_records_of_a_study(desk):
    """Every fact goes to the outbox in its order: opened, started, epochs, finished, closed; with the right content."""
    desk.run(FakeEngine(scores(2.0, Ends("error", "no"))), trials=2)
    records = desk.records()
    kinds = [type(record).__name__ for record in records if not isinstance(record, EpochsRecorded)]
    assert kinds == [
        "StudyOpened", "TrialStarted", "TrialFinished", "TrialStarted", "TrialFinished", "StudyClosed",
    ]  # fmt: skip
    opened, closed = records[0], records[-1]
    assert (opened.metric, opened.direction, opened.parameters) == ("val_loss", "minimize", ("learning_rate", "epochs"))
    assert (opened.experiment, opened.dataset_source, opened.dataset_rows) == ("it", "data.csv", dict(SUMMARY.rows))
    [started, _] = desk.records(TrialStarted)
    assert started.params == dict(desk.trials()[0].params)
    epochs = [point for record in desk.records(EpochsRecorded) for point in record.epochs]
    assert [(epoch, metrics) for epoch, _, metrics in epochs] == [
        (0, {"val_loss": 4.0, "loss": 8.0}), (1, {"val_loss": 2.0, "loss": 4.0}), (2, {"val_loss": 3.0, "loss": 6.0}),
    ]  # fmt: skip
    [finished, failed] = desk.records(TrialFinished)
    metrics = {"best_val_loss": 2.0, "best_loss": 4.0, "best_epoch": 2.0, "epochs_trained": 3.0}
    assert (finished.value, finished.metrics) == (2.0, metrics)
    assert (finished.best_so_far, failed.best_so_far) == (2.0, 2.0)
    assert Path(finished.model).is_dir()
    assert failed.model is None
    assert (closed.state, closed.winner, closed.best_value) == ("finished", 0, 2.0)
    assert (closed.register, closed.alias, closed.trials) == ("it", "champion", {"complete": 1, "failed": 1})


@pytest.mark.parametrize("workers", [1, 2])
def test_exactly_the_best_models_are_kept(desk, workers):
    """The best `keep_models` trials keep their files; who falls out is displaced once, and never a kept one."""
    engine = FakeEngine(scores(5.0, 4.0, 6.0, 1.0, 4.5, 2.0), workers=workers)
    desk.run(engine, trials=6, keep=2)
    assert desk.models() == [3, 5]
    folders = sorted(folder.parent.name for folder in desk.home.locate_study("it").glob("trials/*/mlflow_model"))
    assert folders == ["0003", "0005"]
    kept = {record.number for record in desk.records(TrialFinished) if record.model is not None}
    displaced = [record.number for record in desk.records(ModelDisplaced)]
    assert kept - set(displaced) == {3, 5}
    assert len(displaced) == len(set(displaced))
    assert set(displaced) <= kept


def test_equal_scores_keep_the_earlier_models(desk):
    """Of equal trials the earlier ones keep their models, and the earliest is the winner."""
    last = desk.run(FakeEngine(scores(1.0)), trials=4, keep=2)[-1]
    assert (desk.models(), last.winner) == ([0, 1], 0)


def test_the_events_of_a_study(desk):
    """The search, each trial, each epoch and each end have an event, and the study's end comes last."""
    events = desk.run(FakeEngine(scores(2.0)), trials=1)
    kinds = [type(event).__name__ for event in events]
    expected = ["SearchStarted", "TrialBegan", *["EpochEnded"] * 3, "TrialEnded", "Delivering", "StudyEnded"]
    assert kinds == expected
    epochs = [event for event in events if isinstance(event, EpochEnded)]
    assert [(event.epoch, event.of, event.value) for event in epochs] == [(1, 3, 4.0), (2, 3, 2.0), (3, 3, 3.0)]
    assert events[-1].undelivered == len(desk.records())


# Pauses ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_paused_trials_are_finished_by_the_next_supervisor(desk, workers):
    """A pause stops what runs and leaves it under way; the next run takes it up and meets the same budget."""
    engine = FakeEngine(scores(3.0, 2.0, 1.0, 5.0), workers=workers)
    first = desk.supervisor(engine, trials=5)
    for event in first.run():
        if isinstance(event, EpochEnded) and event.number == 2:
            first.pause()
    cut_off = [trial.number for trial in desk.trials() if trial.state == "running"]
    assert sorted(engine.stopped) == [f"trial-{number}" for number in cut_off]
    assert 2 in cut_off
    assert (event.state, event.undelivered > 0) == ("paused", True)
    assert desk.queue.get("it").state == "paused"
    [closed] = desk.records(StudyClosed)
    assert (closed.state, closed.register) == ("paused", None)
    before = {job.number: (job.values, job.seed) for job in engine.jobs}

    again = FakeEngine(scores(3.0, 2.0, 1.0, 5.0), workers=workers)
    last = desk.run(again, trials=5)[-1]
    assert [job.number for job in again.jobs] == list(range(cut_off[0], 5))
    assert all(before[job.number] == (job.values, job.seed) for job in again.jobs if job.number in before)
    assert (last.trials, last.winner) == ({"complete": 5}, 2)
    assert [trial.number for trial in desk.trials()] == list(range(5))


def test_a_pause_before_anything_ran(desk):
    """A pause requested before the first trial leaves a study without trials that goes on later."""
    first = desk.supervisor(FakeEngine(scores(1.0)), trials=2)
    first.pause()
    assert list(first.run())[-1].state == "paused"
    assert desk.run(FakeEngine(scores(1.0)), trials=2)[-1].trials == {"complete": 2}


def test_a_second_attempt_repeats_its_epochs_at_the_same_times(desk, monkeypatch):
    """MLflow stores a point that is sent again once only if its time is the same."""
    first = desk.supervisor(FakeEngine(scores(1.0)), trials=1)
    for event in first.run():
        if isinstance(event, EpochEnded) and event.epoch == 2:
            monkeypatch.setattr("pipelines.recording.recorder._FLUSH_EVERY_S", -1.0)
        if isinstance(event, EpochEnded) and event.epoch == 3:
            first.pause()
    desk.run(FakeEngine(scores(1.0)), trials=1)
    points = [point for record in desk.records(EpochsRecorded) for point in record.epochs]
    assert len(points) > 3, "the first attempt recorded some epochs"
    assert len({(epoch, at_ms) for epoch, at_ms, _ in points}) == 3


# Kills -------------------------------------------------------------------------------------------------------


class Killed(Exception):  # noqa: N818  # what a kill would do
    """The process ends here."""


@contextmanager
def before_each_commit(action):
    """Call a function before each commit of any database, Optuna's included."""

    def on_commit(connection):
        action()

    sa.event.listen(sa.Engine, "commit", on_commit)
    try:
        yield
    finally:
        sa.event.remove(sa.Engine, "commit", on_commit)


def story(job):
    """Three trials: one fails, one is good, one is better; so every kind of record occurs."""
    if job.number == 0:
        yield from training(job, [5.0])
        (Path(job.folder) / "result.json").unlink()
        raise Ends("died", "killed by SIGSEGV")
    return (yield from training(job, [4.0, 3.0 - job.number]))


@pytest.mark.long
@pytest.mark.timeout(240)
def test_a_kill_before_any_commit_loses_nothing_and_adds_nothing(desk, tmp_path):
    """Ended before any of its commits, a study that is run again has its trials once, and records each of them."""
    snapshots = []

    def snapshot():
        """Keep what a kill now would leave on the disk."""
        folder = tmp_path / f"killed-{len(snapshots)}"
        shutil.copytree(desk.home.folder, folder, ignore=shutil.ignore_patterns("*-shm"))
        snapshots.append(folder)

    supervisor = desk.supervisor(FakeEngine(story), trials=3, keep=1)
    with before_each_commit(snapshot):
        list(supervisor.run())
    expected = outcome(desk)
    assert expected["displaced"] == {1}
    assert len(snapshots) > 20
    for number, folder in enumerate(snapshots):
        with Store.open(folder) as store:
            killed = Desk(store, Home(folder, str(folder)))
            with store.write() as connection:  # its holder would be dead
                connection.execute(sa.update(studies_table).values(lease_token=None))
            killed.run(FakeEngine(story), trials=3, keep=1)
            assert outcome(killed) == expected, f"killed before commit {number} of {len(snapshots)}"


def outcome(desk):
    """Return what must be the same whether a study was killed or not: trials, models, and what MLflow will show."""
    trials = {trial.number: trial for trial in desk.trials()}
    shown = {number: {"epochs": {}, "ends": set()} for number in trials}
    for record in desk.records():
        if isinstance(record, TrialStarted):
            assert record.params == trials[record.number].params
        elif isinstance(record, EpochsRecorded):
            for epoch, at_ms, metrics in record.epochs:
                known = shown[record.number]["epochs"].setdefault(epoch, (at_ms, metrics))
                assert known == (at_ms, metrics), "MLflow would store this epoch twice"
        elif isinstance(record, TrialFinished):
            end = (record.state, record.value, record.reason, record.model is not None, record.best_so_far)
            shown[record.number]["ends"].add(end)
    for of_trial in shown.values():
        of_trial["epochs"] = {epoch: metrics for epoch, (_, metrics) in of_trial["epochs"].items()}
    closed = desk.records(StudyClosed)[-1]
    return {
        "state": desk.queue.get("it").state,
        "trials": [(trial.number, trial.state, trial.value, trial.reason) for trial in trials.values()],
        "shown": shown,
        "displaced": {record.number for record in desk.records(ModelDisplaced)},
        "models": desk.models(),
        "opened": len(desk.records(StudyOpened)) > 0,
        "closed": (closed.state, closed.winner, closed.best_value, dict(closed.trials)),
    }


def test_a_kill_between_the_result_and_its_record(desk):
    """A trial whose worker was done when the supervisor died is not trained again, and no epoch of it is lost."""

    def die(event):
        if isinstance(event, Finished):
            raise Killed

    with pytest.raises(Killed):
        desk.run(FakeEngine(scores(1.0), on_event=die), trials=2)
    engine = FakeEngine(scores(9.0))
    events = desk.run(engine, trials=2)
    assert [job.number for job in engine.jobs] == [1]
    assert [(event.number, event.value) for event in ended(events)] == [(0, 1.0), (1, 9.0)]
    points = [point for record in desk.records(EpochsRecorded) if record.number == 0 for point in record.epochs]
    assert {epoch for epoch, _, _ in points} == {0, 1, 2}


def test_a_failure_that_was_recorded_is_not_tried_again(desk, monkeypatch):
    """What is recorded for MLflow is final, even if the supervisor dies before Optuna has it."""

    def die(self, ended):
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(OptunaSearch, "tell", die)
        desk.run(FakeEngine(scores(Ends("error", "no such layer"))), trials=1)
    engine = FakeEngine(scores(1.0))
    desk.run(engine, trials=1)
    assert engine.jobs == []
    assert [(trial.state, trial.reason) for trial in desk.trials()] == [("failed", "no such layer")]


def test_a_defect_ends_the_supervisor_and_frees_the_study(desk):
    """Whatever ends a supervisor, delivery stops and the lease is free, so that the next one can go on."""

    def die(event):
        raise Killed

    with pytest.raises(Killed):
        desk.run(FakeEngine(scores(1.0), on_event=die), trials=1)
    assert desk.delivery.calls == ["start within 10 s", "stop"]
    assert desk.queue.get("it").owner is None
    assert desk.run(FakeEngine(scores(1.0)), trials=1)[-1].trials == {"complete": 1}


def test_delivery_starts_with_the_first_result(desk):
    """MLflow loads while the first trial trains, and not while workers start and programs are compiled."""
    supervisor = desk.supervisor(FakeEngine(scores(1.0)), trials=2)
    calls = {type(event).__name__: list(desk.delivery.calls) for event in supervisor.run()}
    before, after = ["start within 10 s"], ["start within 10 s", "start within 0 s"]
    assert (calls["SearchStarted"], calls["EpochEnded"], calls["TrialEnded"]) == (before, after, after)


# Leases ------------------------------------------------------------------------------------------------------


def test_a_study_that_another_supervisor_holds_is_left_alone(desk):
    """Nothing is requested, written or delivered while another supervisor works on the study."""
    supervisor = desk.supervisor(FakeEngine(scores(1.0)), trials=1)
    lease = desk.queue.claim("it", "elsewhere/1/1/1", 60.0)
    with pytest.raises(StudyBusyError, match="process 1 on elsewhere"):
        for event in supervisor.run():
            assert event == Watching("process 1 on elsewhere", 60.0)
            threading.Timer(0.3, desk.queue.renew, (lease,)).start()
    assert desk.records() == []
    assert desk.delivery.calls == []
    assert optuna.get_all_study_names(desk.store.open_optuna_storage()) == []


def test_a_lost_lease_ends_the_supervisor_at_its_next_write(desk):
    """Who lost the study writes nothing more: no record, no trial, and not the study's state."""

    def lose(event):
        if isinstance(event, Reported) and event.job == "trial-1" and event.message.epoch == 1:
            with desk.store.write() as connection:
                connection.execute(sa.update(studies_table).values(lease_token="another", lease_owner="else/1/1/1"))

    before = []
    with pytest.raises(LeaseLostError):
        for event in desk.supervisor(FakeEngine(scores(1.0), on_event=lose), trials=3).run():
            before = desk.records() if isinstance(event, TrialBegan) else before
    assert [type(record).__name__ for record in desk.records()][: len(before)] == [
        type(record).__name__ for record in before
    ]
    assert [record.number for record in desk.records(TrialFinished)] == [0]
    assert [trial.state for trial in desk.trials()] == ["complete", "running"]
    assert desk.queue.get("it").owner == "else/1/1/1"
    assert desk.delivery.calls[-1] == "stop"


def test_a_lost_lease_starts_no_trial(desk):
    """A trial started without the lease would hold a place in the budget that nobody fills."""

    def lose(event):
        if isinstance(event, TrialEnded):
            with desk.store.write() as connection:
                connection.execute(sa.update(studies_table).values(lease_token="another"))

    with pytest.raises(LeaseLostError):
        for event in desk.supervisor(FakeEngine(scores(1.0)), trials=3).run():
            lose(event)
    assert len(desk.trials()) == 1


def test_the_lease_is_renewed_while_trials_run(desk, monkeypatch):
    """A long trial does not cost the supervisor its study."""
    clock = SimpleNamespace(now=1000.0)
    for module in (study_control, lease_keeper):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    renewed = []
    real = StudyQueue.renew
    monkeypatch.setattr(StudyQueue, "renew", lambda self, lease: renewed.append(clock.now) or real(self, lease))

    def on_event(event):
        clock.now += 20.0

    desk.run(FakeEngine(scores(1.0), on_event=on_event), trials=2)
    assert len(renewed) >= 6
    assert desk.queue.get("it").owner is None


# Small parts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("space", "expected"),
    [("epochs: 7", 7), ("epochs: {type: int, low: 2, high: 9}", 9), ("epochs: [4, 6]", 6), ("units: 8", 30)],
)
def test_most_epochs(space, expected):
    """The rungs of a pruner follow from the largest number of epochs that a trial can train."""
    study = study_of(f"study: it\ndata: {{source: data.csv, target: y}}\nmodel: mlp\nspace: {{{space}}}\n")
    assert compute_most_epochs(study) == expected
