"""Delivery without training: waiting records, and a study's runs rebuilt from the home alone."""

from __future__ import annotations

import shutil
import socket
from dataclasses import replace

import mlflow
import optuna
import pytest
from desk import FILE, SUMMARY, Desk, scores
from fake_engine import Ends, FakeEngine, training
from mlflow_picture import drop_ids, list_retraining_runs, list_runs, read_picture
from scripted_finalists import compared
from small_studies import study_of

from pipelines.data.prepared import DataSummary
from pipelines.integrations.oracle_records import OracleLease
from pipelines.operations.submit import enqueue
from pipelines.operations.sync import SyncMonitor, SyncResult, rebuild, sync
from pipelines.queries.study_reader import StudyReader
from pipelines.search.space_evolution import find_current_name
from pipelines.search.trial_summaries import summarize_trials
from pipelines.study.objective import Objective
from pipelines.supervisor.events import TrialPaused
from pipelines.workspace.home import Home
from search_spaces.errors import InputError
from tracking.mlflow import urls
from tracking.outbox.outbox import Outbox
from tracking.outbox.records import ModelDisplaced, TrialFinished
from tracking.store.processes import identify_process
from tracking.store.study_queue import StudyBusyError, StudyQueue


@pytest.fixture
def home(tmp_path, _empty_mlflow, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / "home"
    folder.mkdir(exist_ok=True)
    shutil.copyfile(_empty_mlflow, folder / "mlflow.db")
    return Home(folder, str(folder))


@pytest.fixture
def desk(store, home, monkeypatch):
    monkeypatch.setattr(
        "tracking.reports.study_report.write_pngs", lambda figures, folder: ()
    )  # takes longer than the rest
    return Desk(store, home)


@pytest.fixture
def another_mlflow(tmp_path, _empty_mlflow, monkeypatch):
    """Return a function that lets an empty MLflow take the place of the one there is, and returns its client."""

    def replaced(name="another"):
        folder = tmp_path / name
        folder.mkdir()
        shutil.copyfile(_empty_mlflow, folder / "mlflow.db")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", urls.make_home_tracking_uri(folder))
        return mlflow.MlflowClient(
            urls.make_home_tracking_uri(folder), registry_uri=urls.make_home_tracking_uri(folder)
        )

    return replaced


def make_socket_client(home):
    uri = urls.make_home_tracking_uri(home.folder)
    return mlflow.MlflowClient(uri, registry_uri=uri)


def synced(home, *studies, patience_s=30):
    return list(sync(home, studies, patience_s, SyncMonitor()))


def rebuilt(home, name="it", patience_s=30):
    return rebuild(home, name, patience_s, SyncMonitor())


@pytest.fixture
def nowhere(monkeypatch):
    """Let MLflow be a server that is not there."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)


# Delivering what waits ---------------------------------------------------------------------------------------


def test_what_waits_is_delivered(desk, home):
    """Everything that a study left arrives, and the next time there is nothing to do."""
    desk.run(FakeEngine(scores(3.0, 2.0)), trials=2)
    waiting = desk.outbox.count_pending("it")
    assert synced(home) == [SyncResult("it", waiting, 0, "")]
    assert len(list_runs(make_socket_client(home), "it")[1]) == 2
    assert synced(home) == []
    assert synced(home, "it") == [SyncResult("it", 0, 0, "")]
    with StudyReader.open(home) as reader:
        assert reader.read_study("it").waiting_for_mlflow == 0
    assert desk.queue.get("it").owner is None


def test_what_was_set_aside_is_tried_again(desk, home):
    """A record that MLflow refused gets another chance."""
    desk.run(FakeEngine(scores(3.0)), trials=1)
    rows = desk.outbox.read_next_rows("it", 100)
    desk.outbox.record_error(rows, "no", attempts=3, set_aside=True)
    assert synced(home) == [SyncResult("it", len(rows), 0, "")]


def test_what_mlflow_refuses_is_left_and_told(desk, home):
    """What cannot be delivered is counted, with the reason, and the rest arrives."""
    desk.run(FakeEngine(scores(3.0)), trials=1)
    desk.outbox.add([ModelDisplaced("nobody", 1)])
    first, second = synced(home)
    assert (first.study, first.left) == ("it", 0)
    assert (second.delivered, second.left) == (0, 1)
    assert "never opened" in second.reason


def test_an_mlflow_that_is_away_is_given_up(desk, home, nowhere):
    """After a while without success the result has the number of records and the last error; nothing is lost."""
    desk.run(FakeEngine(scores(3.0)), trials=1)
    waiting = desk.outbox.count_pending("it")
    (done,) = synced(home, patience_s=1)
    assert (done.delivered, done.left) == (0, waiting)
    assert "refused" in done.reason
    with StudyReader.open(home) as reader:
        view = reader.read_study("it")
    assert (view.waiting_for_mlflow, "refused" in view.mlflow_error) == (waiting, True)


def test_a_delivery_can_be_ended(desk, home, nowhere):
    """Who watches may end it at any time."""

    class Impatient(SyncMonitor):
        is_cancelled = True

    desk.run(FakeEngine(scores(3.0)), trials=1)
    (done,) = sync(home, [], 1000, Impatient())
    assert done.left == desk.outbox.count_pending("it")


def test_progress_is_shown(desk, home):
    """The monitor receives the number of records left."""

    class Seen(SyncMonitor):
        def show(self, step):
            steps.append((step.study, step.left))

    steps = []
    desk.run(FakeEngine(scores(3.0)), trials=1)
    waiting = desk.outbox.count_pending("it")
    list(sync(home, [], 30, Seen()))
    assert steps[0] == ("it", waiting)


def test_a_study_that_somebody_works_on_is_left_alone(desk, home):
    """By name it is an error; among all studies it is skipped, with a result that marks it busy."""
    desk.run(FakeEngine(scores(3.0)), trials=1)
    desk.outbox.add([ModelDisplaced("free", 1)])
    waiting = desk.outbox.count_pending("it")
    lease = desk.queue.claim("it", identify_process(), 60)
    with pytest.raises(StudyBusyError, match="is being worked on by process"):
        synced(home, "it")
    with pytest.raises(StudyBusyError, match="is being worked on by process"):
        rebuilt(home)
    busy, other = synced(home)
    assert (busy.study, busy.delivered, busy.left, busy.is_busy) == ("it", 0, waiting, True)
    assert (other.study, other.is_busy) == ("free", False)
    assert desk.outbox.count_pending("it") == waiting
    desk.queue.release(lease)
    assert synced(home, "it") == [SyncResult("it", waiting, 0, "")]


def test_a_lost_lease_ends_the_delivery(desk, home, monkeypatch):
    """Where somebody took the study meanwhile, nothing more is delivered."""
    desk.run(FakeEngine(scores(3.0)), trials=1)
    waiting = desk.outbox.count_pending("it")
    monkeypatch.setattr("tracking.store.lease_keeper.LeaseKeeper.is_held", lambda self: False)
    (done,) = synced(home, patience_s=1)
    assert (done.delivered, done.left) == (0, waiting)


def test_studies_of_the_tuner_are_delivered(desk, home):
    """A study of KerasTuner's own tuner has another name in the queue, and is held by it."""
    lease = OracleLease("tuned", Objective("val_loss", "minimize"), 3, desk.store)
    desk.outbox.add([ModelDisplaced("tuned", 1)])
    with pytest.raises(StudyBusyError):
        synced(home, "keras_tuner/tuned")
    lease.release([])
    (done,) = synced(home, "keras_tuner/tuned")
    assert (done.study, done.left) == ("keras_tuner/tuned", 1)
    with pytest.raises(InputError, match="KerasTuner's own tuner"):
        rebuilt(home, "keras_tuner/tuned")


def test_unknown_studies_and_homes_are_refused(desk, home, tmp_path):
    """A wrong name is answered with the nearest, an empty home is left as it is."""
    desk.run(FakeEngine(scores(3.0)), trials=1)
    for act in (synced, rebuilt):
        with pytest.raises(InputError, match='there is no study "ti"'):
            act(home, "ti")
        with pytest.raises(InputError, match="there are no studies in"):
            act(Home(tmp_path / "empty", str(tmp_path / "empty")), "it")
    assert not (tmp_path / "empty").exists()


# Telling a study anew ----------------------------------------------------------------------------------------


def mixed(job):
    """Trials in every state; pruned ones by Hyperband."""
    if job.number == 1:
        raise Ends("error", "loss became nan in epoch 1", "Traceback: ...")
    return (yield from scores(3.0, 0.0, 1.0, 4.0, 0.5, 2.0)(job))


def comparable(picture):
    """Return a picture without identifiers, times of ends, and the one tag that is not rebuilt."""
    runs, *others = drop_ids(picture, times=False)
    for _, _, _, tags, *_ in runs.values():
        tags.pop("kerastudy.why_alone", None)
    # A run that was linked with a model that was deleted since is linked with both.
    return {name: shown[:-1] for name, shown in runs.items()}, *others


def assert_rebuilt_equal(home, another_mlflow, *, ended_once=True):
    """Check that a rebuilt study looks as before, in the same and in an empty MLflow, also when it is rebuilt twice.

    Of a study that ended several times the earlier ends are not rebuilt.
    """
    before = read_picture(make_socket_client(home), "it")
    assert rebuilt(home).left == 0
    assert read_picture(make_socket_client(home), "it") == before
    client = another_mlflow()
    done = rebuilt(home)
    assert (done.left, done.reason) == (0, "")
    anew = read_picture(client, "it")
    if ended_once:
        assert comparable(anew) == comparable(before)
    else:
        told_runs, runs = (comparable(picture)[0] for picture in (anew, before))
        assert told_runs.pop("it")[:4] == runs.pop("it")[:4]
        assert told_runs == runs
    assert rebuilt(home).left == 0
    assert read_picture(client, "it") == anew
    return done, client


def test_a_finished_study_is_told_anew(desk, home, another_mlflow):
    """Runs, params, curves, scores, notes, files, models and the registered winner are what they were; twice too."""
    desk.run(FakeEngine(mixed), trials=6, pruner="hyperband", keep=2)
    synced(home)
    done, client = assert_rebuilt_equal(home, another_mlflow)
    assert (done.trials, done.notes) == (6, ())
    version = client.get_model_version_by_alias("it", "champion")
    _, children = list_runs(client, "it")
    assert version.run_id == children[4].info.run_id
    assert [run.info.status for run in children.values()].count("FAILED") == 1
    board = [tag for tag in client.get_experiment_by_name("it").tags if tag.startswith("mlflow.sharedViewState")]
    assert len(board) == 2


def test_a_study_with_folds_is_told_anew(desk, home, another_mlflow):
    """Each fold's curve and their mean are there again."""
    summary = DataSummary(**{**vars(SUMMARY), "folds": 2})
    desk.run(FakeEngine(scores(3.0, 2.0)), trials=2, summary=summary)
    synced(home)
    _, client = assert_rebuilt_equal(home, another_mlflow)
    assert {"fold_1/val_loss", "val_loss"} <= set(list_runs(client, "it")[1][0].data.metrics)


@pytest.mark.long
def test_further_trainings_are_told_anew(desk, home, another_mlflow):
    """Their runs are below their trials', as are those that compare a refit, whose model is the one registered."""

    def luck(job):
        again = "retrainings" in job.folder
        return (yield from scores(*([3.0, 1.0] if again else [1.0, 2.0]))(job))

    others = compared(own=9.0, refit=4.0)
    desk.run(FakeEngine(luck, others=others), trials=2, selection="finalists: 2, seeds: 2, refit: true")
    synced(home)
    done, client = assert_rebuilt_equal(home, another_mlflow)
    assert done.trials == 2
    _, children = list_runs(client, "it")
    executed = list_retraining_runs(client, "it")
    by_name = {run.info.run_name: run for run in executed}
    ways = [f"compare-{way}-{index}" for way in ("own", "refit") for index in (1, 2, 3)]
    seeds = ["it-t000-seed-1", "it-t000-seed-2", "it-t001-seed-1", "it-t001-seed-2"]
    assert sorted(by_name) == sorted([*seeds, "it-t001-refit", *(f"it-t001-{way}" for way in ways)])
    assert {name: run.data.tags["mlflow.parentRunId"] for name, run in by_name.items()} == {
        name: children[int("t001" in name)].info.run_id for name in by_name
    }
    assert client.get_model_version_by_alias("it", "champion").run_id == by_name["it-t001-refit"].info.run_id


@pytest.mark.long
def test_a_paused_study_is_told_anew(desk, home, another_mlflow):
    """Its unfinished trials have the epochs that they have reached, and wait."""
    engine = FakeEngine(scores(3.0, 2.0), workers=2)
    supervisor = desk.supervisor(engine, trials=4)
    engine._on_event = lambda event: supervisor.pause() if len(engine.jobs) == 4 else None
    list(supervisor.run())
    assert desk.queue.get("it").state == "paused"
    synced(home)
    assert rebuilt(home).left == 0  # some of their epochs are not in MLflow yet
    _, client = assert_rebuilt_equal(home, another_mlflow)
    parent, children = list_runs(client, "it")
    assert parent.info.status == "SCHEDULED"
    assert {run.info.status for run in children.values()} == {"FINISHED", "SCHEDULED"}


def test_a_study_whose_supervisor_was_killed_is_told_anew(desk, home, another_mlflow):
    """Its results so far are rebuilt, and its state: no process works on it."""
    engine = FakeEngine(scores(3.0, 2.0))

    class KilledError(BaseException):
        pass

    def kill(event):
        if len(engine.jobs) == 3:
            raise KilledError

    engine._on_event = kill
    with pytest.raises(KilledError):
        desk.run(engine, trials=4)
    client = another_mlflow()
    done = rebuilt(home)
    assert (done.trials, done.left) == (3, 0)
    parent, children = list_runs(client, "it")
    assert (parent.info.status, "nobody works on it" in parent.data.tags["mlflow.note.content"]) == ("SCHEDULED", True)
    assert [run.info.status for run in children.values()] == ["FINISHED", "FINISHED", "SCHEDULED"]


@pytest.mark.long
def test_a_study_in_a_changed_space_is_told_anew(desk, home, another_mlflow):
    """Trials of earlier generations are rebuilt as they ended then, with their times."""
    desk.run(FakeEngine(scores(3.0, 2.0, 2.5)), trials=3, keep=1)
    narrow = FILE.replace("high: 1.0", "high: 0.02")
    study = study_of(
        narrow.format(sampler="random", pruner="none", trials=5, budget="", keep=1, fleet="off", selection="")
    )
    enqueue(study, SUMMARY, desk.store, evolve=True)
    desk.run(FakeEngine(scores(9.0, 9.0, 9.0, 1.0, 5.0)), study=study)
    assert {trial.fits for trial in summarize_trials(current(desk))} == {True, False}
    synced(home)
    first = read_picture(make_socket_client(home), "it")
    assert rebuilt(home).left == 0
    assert comparable(read_picture(make_socket_client(home), "it")) == comparable(first)
    done, client = assert_rebuilt_equal(home, another_mlflow, ended_once=False)
    assert done.trials == 5
    _, children = list_runs(client, "it")
    ends = [run.info.end_time for run in children.values()]
    assert ends == sorted(set(ends))
    assert [run.info.status for run in children.values()] == ["FINISHED"] * 5


@pytest.mark.long
def test_a_paused_trial_that_a_changed_space_ended_is_told_anew(desk, home, another_mlflow):
    """It ends as pruned, with the time and the score of its pause, although no generation trained it to an end."""
    words = {"sampler": "random", "budget": "", "keep": 1, "fleet": "off", "selection": ""}
    wide = FILE.replace("epochs: 3", "epochs: 9")

    def train(job):
        return (yield from training(job, [3.0 + job.number - 0.1 * epoch for epoch in range(9)]))

    supervisor = desk.supervisor(FakeEngine(train), study=study_of(wide.format(pruner="asha", trials=9, **words)))
    for event in supervisor.run():
        if isinstance(event, TrialPaused):
            supervisor.pause()
    before = {trial.number: trial for trial in summarize_trials(current(desk))}
    assert {trial.state for trial in before.values()} == {"paused"}
    narrow = wide.replace("high: 1.0", "high: 0.5").format(pruner="none", trials=3, **words)
    enqueue(study_of(narrow), SUMMARY, desk.store, evolve=True)
    desk.run(FakeEngine(train), study=study_of(narrow))
    synced(home)
    first = read_picture(make_socket_client(home), "it")
    assert rebuilt(home).left == 0
    assert comparable(read_picture(make_socket_client(home), "it")) == comparable(first)
    _, client = assert_rebuilt_equal(home, another_mlflow, ended_once=False)
    _, children = list_runs(client, "it")
    assert len(children) == 3
    for number, trial in before.items():
        run = children[number]
        assert (run.info.status, run.data.tags["kerastudy.state"]) == ("FINISHED", "pruned")
        assert run.data.metrics["best_val_loss"] == trial.value


def current(desk):
    storage = desk.store.open_optuna_storage()
    return optuna.load_study(study_name=find_current_name(storage, "it"), storage=storage)


def test_only_what_is_missing_is_added(desk, home):
    """An MLflow that has lost trials, a model and the registered winner has all again, and the rest is as it was."""
    desk.run(FakeEngine(scores(3.0, 2.0, 1.0)), trials=3)
    synced(home)
    client = make_socket_client(home)
    before = read_picture(client, "it")
    parent, children = list_runs(client, "it")
    client.delete_run(children[1].info.run_id)
    client.delete_registered_model("it")
    for model in client.search_logged_models([parent.info.experiment_id]):
        if model.source_run_id == children[2].info.run_id:
            client.delete_logged_model(model.model_id)
    rebuilt(home)
    after = read_picture(client, "it")
    assert comparable(after) == comparable(before)
    untouched = f"it-t{0:03d}"
    assert after[0][untouched] == before[0][untouched]
    assert list_runs(client, "it")[1][1].info.run_id != children[1].info.run_id


def test_what_waits_is_not_doubled(desk, home, nowhere):
    """Told anew while MLflow is away, again and again, the backlog does not grow."""
    desk.run(FakeEngine(scores(3.0, 2.0)), trials=2)
    left = {rebuilt(home, patience_s=0).left for _ in range(3)}
    assert len(left) == 1


def test_a_trial_that_lost_its_files_is_told_as_far_as_it_goes(desk, home, another_mlflow):
    """If a curve, a result or a model cannot be read, the rest is rebuilt, and a note names the missing part."""
    desk.run(FakeEngine(scores(3.0, 2.0, 1.0)), trials=3)
    synced(home)
    shutil.rmtree(home.locate_trial("it", 0))
    for file in home.locate_trial("it", 1).glob("fold-*-epochs.jsonl"):
        file.unlink()
    (home.locate_trial("it", 1) / "result.json").write_text('{"state": ')
    client = another_mlflow()
    done = rebuilt(home)
    assert done.left == 0
    assert [note.partition(":")[0] for note in done.notes] == ["trial 0", "trial 0", "trial 1", "trial 1"]
    _, children = list_runs(client, "it")
    assert [run.data.metrics["best_val_loss"] for run in children.values()] == [3.0, 2.0, 1.0]
    assert ["val_loss" in run.data.metrics for run in children.values()] == [False, False, True]


def test_a_study_that_has_not_started_is_refused(desk, home):
    """There is nothing to rebuild."""
    desk.supervisor(FakeEngine(scores(1.0)))
    with pytest.raises(InputError, match="has not started"):
        rebuilt(home)


def test_a_study_whose_data_is_gone_is_refused(desk, home):
    """The runs show facts of its data."""
    desk.run(FakeEngine(scores(3.0)), trials=1)
    shutil.rmtree(home.locate_data("it"))
    with pytest.raises(InputError, match=r"is gone: name the --home"):
        rebuilt(home)


def test_times_are_those_of_the_store(desk, home, another_mlflow):
    """Trials have the times of Optuna, epochs those of the worker."""
    desk.run(FakeEngine(scores(3.0)), trials=1)
    synced(home)
    client = another_mlflow()
    rebuilt(home)
    (run,) = list_runs(client, "it")[1].values()
    (frozen,) = optuna.load_study(study_name="it", storage=desk.store.open_optuna_storage()).trials
    assert run.info.start_time == int(frozen.datetime_start.timestamp() * 1000)
    assert run.info.end_time == int(frozen.datetime_complete.timestamp() * 1000)


def test_the_studys_own_end_is_the_one_that_was_told(desk, home, another_mlflow):
    """The parent ends when the study did, though only the outbox knows when."""
    desk.run(FakeEngine(scores(3.0), test_scores={"test_loss": 4.0}), trials=1, summary=WITH_TEST_ROWS)
    synced(home)
    before, _ = list_runs(make_socket_client(home), "it")
    client = another_mlflow()
    rebuilt(home)
    parent, children = list_runs(client, "it")
    assert parent.info.end_time == before.info.end_time
    assert parent.data.metrics["test_loss"] == children[0].data.metrics["test_loss"] == 4.0


WITH_TEST_ROWS = replace(SUMMARY, rows={**SUMMARY.rows, "test": 4})


def test_a_study_is_told_under_its_lease(desk, home, monkeypatch):
    """The rows are stored only while the study is ours."""
    desk.run(FakeEngine(scores(3.0)), trials=1)
    before = desk.outbox.read_backlog("it")

    def lost(self, connection):
        raise StudyBusyError("taken over")

    monkeypatch.setattr("tracking.store.lease_keeper.LeaseKeeper.verify", lost)
    with pytest.raises(StudyBusyError, match="taken over"):
        rebuilt(home)
    assert desk.outbox.read_backlog("it") == before
    assert StudyQueue(desk.store).get("it").owner is None
    assert desk.records(TrialFinished) != []
    assert Outbox(desk.store).count_pending("it") == before.pending
