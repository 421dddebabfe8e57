"""Content of MLflow after the delivery of a study's records, on a real SQLite backend."""

import csv
import getpass
from dataclasses import replace

import mlflow
import pytest
from mlflow_picture import drop_ids
from projected import connect, deliver, list_runs, read_picture, uri

from search_spaces.errors import KerastudyError
from tracking.mlflow.formatting import format_run_name
from tracking.mlflow.projection import MlflowProjection
from tracking.outbox.records import (
    EpochsRecorded,
    ModelKept,
    ParametersDrawn,
    StudyClosed,
    StudyOpened,
    TrialFinished,
    TrialPaused,
    TrialStarted,
    decode_record,
)

NOON = 1_750_000_000_000


@pytest.fixture
def files(tmp_path):
    """A folder of artifacts as a worker leaves it."""
    folder = tmp_path / "artifacts"
    (folder / "plots").mkdir(parents=True)
    (folder / "history.csv").write_text("epoch,loss\n0,1.0\n")
    (folder / "plots" / "a.png").write_bytes(b"png")
    return str(folder)


def test_trials_are_children_of_their_study(projection, client, name, a_study):
    """One parent named as the study; a child a trial, zero-padded, tied to it; a pruned one does not look complete."""
    deliver(projection, a_study(name))
    parent, children = list_runs(client, name)
    assert parent.info.run_name == name
    assert [run.info.run_name for run in children.values()] == [
        *(f"{name}-t00{number}" for number in range(2)),
        f"{name}-t002 (pruned)",
        f"{name}-t003",
    ]
    assert {run.data.tags["mlflow.parentRunId"] for run in children.values()} == {parent.info.run_id}
    assert format_run_name("s", 1234) == "s-t1234"


def test_a_study_of_a_service_is_its_submitter_s(projection, client, name, a_study):
    """MLflow's column of users names who submitted it; a study without a service is of the process's user."""
    opened, *rest = a_study(name)
    deliver(projection, [replace(opened, user="ann"), *rest])
    parent, children = list_runs(client, name)
    for run in (parent, *children.values()):
        assert (run.data.tags["mlflow.user"], run.data.tags["kerastudy.submitter"]) == ("ann", "ann")


def test_a_study_without_a_service_is_its_process_s(projection, client, name, a_study):
    """Nobody has submitted it."""
    deliver(projection, a_study(name))
    parent, _ = list_runs(client, name)
    assert parent.data.tags["mlflow.user"] == getpass.getuser()
    assert "kerastudy.submitter" not in parent.data.tags


def test_only_active_parameters_are_shown(projection, client, name, a_study):
    """A trial's params are its active hyperparameters with their real values."""
    deliver(projection, a_study(name))
    _, children = list_runs(client, name)
    assert children[0].data.params == {"learning_rate": "0.1", "optimizer": "adam"}
    assert children[1].data.params == {"learning_rate": "0.05", "optimizer": "sgd", "momentum": "0.9"}


def test_parameters_known_later_are_shown(projection, client, name, a_study):
    """Hyperparameters that a trial's model requests are added to its params, however often they are delivered."""
    drawn = ParametersDrawn(name, 0, {"epochs": 3, "encoder/units": 16})
    deliver(projection, [a_study(name)[0], TrialStarted(name, 0, {"epochs": 3}, NOON), drawn, drawn])
    _, children = list_runs(client, name)
    assert children[0].data.params == {"epochs": "3", "encoder/units": "16"}


def test_a_study_without_data_of_its_own(projection, client, name, a_study):
    """If the data is unknown, no dataset is logged."""
    deliver(projection, [replace(a_study(name)[0], dataset_digest=""), TrialStarted(name, 0, {}, NOON)])
    parent, children = list_runs(client, name)
    assert [*parent.inputs.dataset_inputs, *children[0].inputs.dataset_inputs] == []


def test_metrics_are_by_epoch(projection, client, name, a_study):
    """Each epoch is a step with its time; the best values are metrics as well."""
    deliver(projection, a_study(name))
    _, children = list_runs(client, name)
    points = client.get_metric_history(children[1].info.run_id, "val_accuracy")
    assert [(point.step, point.timestamp) for point in points] == [(1, NOON + 10_000), (2, NOON + 11_000)]
    assert [point.value for point in points] == pytest.approx([0.7, 0.8])
    assert children[1].data.metrics["best_val_accuracy"] == 0.8
    assert children[1].data.metrics["best_epoch"] == 1
    # A best value lies on the curve: at the step that `best_epoch` names.
    (best,) = client.get_metric_history(children[1].info.run_id, "best_val_accuracy")
    assert best.step == 1


def test_every_curve_is_in_a_section_of_charts(projection, client, name, a_study):
    """MLflow shows sections before all other metrics, so a page of charts begins with what has several steps."""
    deliver(projection, a_study(name))
    parent, children = list_runs(client, name)
    for run in (parent, *children.values()):
        steps = {
            key: {point.step for point in client.get_metric_history(run.info.run_id, key)} for key in run.data.metrics
        }
        curves = {key for key, found in steps.items() if len(found) > 1 and "/" not in key}
        assert curves
        assert {key for key in steps if "/" in key} == {f"curves/{key}" for key in curves}
        assert all(steps[key] == steps[f"curves/{key}"] for key in curves)


def test_records_of_an_earlier_version_arrive(projection, client, name, a_study):
    """Rows of its outbox are curves like any others; points that it has delivered stay as they are."""
    deliver(projection, a_study(name)[:2])
    run_id = list_runs(client, name)[1][0].info.run_id
    client.log_metric(run_id, "val_loss", 2.0, NOON, 1)
    row = f'{{"study": "{name}", "number": 0, "epochs": [[1, {NOON + 1}, {{"val_loss": 1.0}}]], "retraining": ""}}'
    deliver(projection, [decode_record("EpochsRecorded", row)])
    for key, points in (("val_loss", [(1, 2.0), (2, 1.0)]), ("curves/val_loss", [(2, 1.0)])):
        assert [(point.step, point.value) for point in client.get_metric_history(run_id, key)] == points


def test_states_have_their_own_status(projection, client, name, a_study):
    """Complete and pruned trials are FINISHED, an error is FAILED with its reason in the note."""
    deliver(projection, a_study(name))
    parent, children = list_runs(client, name)
    assert [run.info.status for run in children.values()] == ["FINISHED", "FINISHED", "FINISHED", "FAILED"]
    states = [run.data.tags["kerastudy.state"] for run in children.values()]
    assert (
        states == [run.data.tags["state"] for run in children.values()] == ["complete", "complete", "pruned", "failed"]
    )
    assert "the loss became NaN at epoch 1" in children[3].data.tags["mlflow.note.content"]
    assert (parent.info.status, parent.info.start_time, parent.info.end_time) == ("FINISHED", NOON, NOON + 60_000)
    assert (children[1].info.start_time, children[1].info.end_time) == (NOON + 10_000, NOON + 15_000)


def test_the_parent_tells_the_result(projection, client, name, a_study):
    """The parent's note starts with one bold line, then links; its curve has a step a trial."""
    deliver(projection, a_study(name))
    parent, children = list_runs(client, name)
    bold, empty, links = parent.data.tags["mlflow.note.content"].split("\n")
    assert (bold[:2], bold[-2:], empty) == ("**", "**", "")
    assert "best val_accuracy 0.8, trial 1" in bold
    assert links.count("workflowType=machine_learning") == 2
    assert children[1].info.run_id in links
    curve = client.get_metric_history(parent.info.run_id, "best_so_far")
    assert [(point.step, point.value) for point in curve] == [(0, 0.5), (1, 0.8), (2, 0.8), (3, 0.8)]
    assert parent.data.metrics["best_val_accuracy"] == 0.8
    assert parent.data.metrics["test_accuracy"] == children[1].data.metrics["test_accuracy"] == 0.75


def test_files_and_data_are_shown(projection, client, name, a_study, files):
    """Artifacts and the dataset hang on the parent and on every child."""
    deliver(projection, a_study(name, folder=files))
    parent, children = list_runs(client, name)
    for run in (parent, *children.values()):
        assert [item.path for item in client.list_artifacts(run.info.run_id)] == ["history.csv", "plots"]
        (entry,) = run.inputs.dataset_inputs
        assert (entry.dataset.name, entry.dataset.digest) == ("digits", "ab" * 8)
        assert "sklearn:digits" in entry.dataset.source


@pytest.mark.long
def test_delivering_twice_changes_nothing(projection, client, home, name, a_study, files, keras_file):
    """A second delivery, from a new process, leaves MLflow exactly as it was."""
    records = a_study(name, folder=files, models={0: keras_file, 1: keras_file}, register=f"{name}-model")
    deliver(projection, records)
    once = read_picture(client, name)
    deliver(connect(home), records)
    assert read_picture(client, name) == once
    for record in records:
        deliver(connect(home), [records[0], record, record, records[-1]])
    assert read_picture(client, name) == once


@pytest.mark.long
@pytest.mark.parametrize("size", [3, 7, 100])
def test_together_or_one_by_one_is_the_same(client, home, tmp_path, a_study, files, keras_file, size):
    """However records are batched, MLflow shows the same; a second delivery changes nothing."""
    records = a_study("same", folder=files, models={1: keras_file}, register="same")
    shown = []
    for place, step in (("one", 1), (f"by-{size}", size)):
        target = MlflowProjection(uri(tmp_path / place), artifact_root=(tmp_path / place / "artifacts").as_uri())
        own = mlflow.MlflowClient(uri(tmp_path / place), registry_uri=uri(tmp_path / place))
        for start in range(0, len(records), step):
            target.deliver(records[start : start + step])
        shown.append(drop_ids(read_picture(own, "same")))
        once = read_picture(own, "same")
        MlflowProjection(uri(tmp_path / place)).deliver([records[0], *records[1:-1], records[-1]])
        assert read_picture(own, "same") == once
    assert shown[0] == shown[1]


def test_a_paused_study_waits(projection, client, name, a_study):
    """In a pause, the study and its running trials are SCHEDULED; they are RUNNING again when it continues."""
    records = a_study(name)
    paused = StudyClosed(name, "paused", "Ctrl-C", NOON + 20_000, 0, 0.5, {"complete": 1}, "")
    deliver(projection, [*records[:6], paused])
    parent, children = list_runs(client, name)
    assert (parent.info.status, children[0].info.status, children[1].info.status) == (
        "SCHEDULED",
        "FINISHED",
        "SCHEDULED",
    )
    deliver(projection, [records[0], records[5]])
    parent, children = list_runs(client, name)
    assert [run.info.status for run in (parent, *children.values())] == ["RUNNING", "FINISHED", "RUNNING"]
    assert parent.info.end_time is None
    assert parent.data.tags["kerastudy.reason"] == ""
    assert parent.data.tags["mlflow.note.content"].startswith("**Running: best val_accuracy so far 0.5**")


@pytest.mark.parametrize("state", ["finished", "cancelled"])
def test_a_retraining_that_a_pause_cut_off_does_not_wait_for_ever(projection, client, name, a_study, state):
    """The study may end without it: cancelled, or by another selection; its run is over then too."""
    records = a_study(name)
    retraining = TrialStarted(name, 0, {}, NOON, retraining="seed-1")
    paused = StudyClosed(name, "paused", "Ctrl-C", NOON + 20_000, 0, 0.5, {"complete": 1}, "")
    deliver(projection, [*records[:5], retraining, paused, records[0], replace(paused, state=state)])
    runs = client.search_runs([list_runs(client, name)[0].info.experiment_id])
    [found] = [run for run in runs if run.info.run_name == f"{name}-t000-seed-1"]
    assert found.info.status == "KILLED"
    # Another selection may go on with it.
    assert found.data.tags["kerastudy.state"] == ("cancelled" if state == "cancelled" else "running")


def test_a_paused_trial_is_running_with_a_tag(projection, client, name, a_study):
    """Its run shows that it is paused, with its score; when it goes on it is running, and in the end what it became."""
    opened = a_study(name)[0]
    started = TrialStarted(name, 0, {"x": 1}, NOON)
    paused = TrialPaused(name, 0, 0.7, "paused after epoch 3 of 9")
    expected = {"state": "paused", "value": "0.7", "kerastudy.paused": "paused after epoch 3 of 9"}
    for records in ([opened, started, paused], [paused]):
        deliver(projection, records)
        run = list_runs(client, name)[1][0]
        assert run.info.status == "RUNNING"
        assert expected.items() <= run.data.tags.items()
    deliver(projection, [replace(started, started_ms=NOON + 9, resumed=True)])
    run = list_runs(client, name)[1][0]
    assert (run.info.status, run.data.tags["state"], run.info.start_time) == ("RUNNING", "running", NOON)
    deliver(projection, [TrialFinished(name, 0, "complete", 0.8, {"best_epoch": 9.0}, "", NOON + 99, "")])
    run = list_runs(client, name)[1][0]
    assert (run.info.status, run.data.tags["state"]) == ("FINISHED", "complete")


def test_a_cancelled_study_is_killed(projection, client, name, a_study):
    """A cancelled study is KILLED, and so are the trials that still ran."""
    records = a_study(name)
    cancelled = TrialFinished(name, 0, "cancelled", None, {}, "cancelled", NOON + 1, "")
    closed = StudyClosed(name, "cancelled", "by you", NOON + 20_000, None, None, {"cancelled": 2}, "")
    deliver(projection, [*records[:2], cancelled, records[5], closed])
    parent, children = list_runs(client, name)
    assert [parent.info.status, *(run.info.status for run in children.values())] == ["KILLED"] * 3
    assert "no result" in parent.data.tags["mlflow.note.content"]


@pytest.mark.long
def test_a_model_that_was_written_late_is_kept_as_any_other(tmp_path, a_study, files, keras_file):
    """Logged after its run has ended, a model is shown as if it had been there in time: no time or status changes."""
    shown = []
    for late in (False, True):
        place = tmp_path / ("late" if late else "in-time")
        place.mkdir()
        its_client = mlflow.MlflowClient(uri(place))
        *records, closed = a_study("same", folder=files, models={} if late else {1: keras_file}, register="same")
        kept = [ModelKept("same", 1, files, keras_file)] * 2 if late else []
        for _ in range(2):
            deliver(connect(place), [*records, *kept, closed])
        parent, children = list_runs(its_client, "same")
        (model,) = its_client.search_logged_models([parent.info.experiment_id])
        assert model.source_run_id == children[1].info.run_id
        scores = sorted((metric.key, metric.value, metric.step, metric.timestamp) for metric in model.metrics)
        shown.append((drop_ids(read_picture(its_client, "same")), scores, model.params, model.status))
    assert shown[0] == shown[1]


def test_a_model_that_is_gone_holds_nothing_up(projection, client, name, a_study, tmp_path):
    """A trial whose model was displaced before its delivery is recorded without one."""
    gone = str(tmp_path / "gone")
    *records, closed = a_study(name, models={0: gone, 1: gone}, register="gone")
    deliver(projection, [*records, ModelKept(name, 0, "", gone), closed])
    parent, _ = list_runs(client, name)
    assert parent.info.status == "FINISHED"
    assert not client.search_logged_models([parent.info.experiment_id])


def test_large_trials_are_split_over_requests(projection, client, name, a_study):
    """More metrics and parameters than MLflow accepts in a request are all there."""
    opened = a_study(name)[0]
    points = tuple((epoch, NOON + epoch, {f"m{index}": 1.0 for index in range(30)}) for epoch in range(80))
    params = {f"p{index}": index for index in range(250)}
    deliver(projection, [opened, TrialStarted(name, 0, params, NOON), EpochsRecorded(name, 0, points)])
    _, children = list_runs(client, name)
    assert len(children[0].data.params) == 250
    for key in ("m0", "curves/m29"):
        assert len(client.get_metric_history(children[0].info.run_id, key)) == 80


def test_odd_names_and_values_arrive(projection, client, name, a_study):
    """Names that MLflow refuses are encoded, long texts are cut, values that are not finite are left out."""
    opened = a_study(name)[0]
    metrics = {"f1 (macro)@k": 0.5, "loss": float("nan"), "huge": float("inf")}
    records = [
        opened,
        TrialStarted(name, 0, {"lr schedule": "x" * 9000, "none": None, "yes": True}, NOON),
        EpochsRecorded(name, 0, ((0, NOON, metrics),)),
        TrialFinished(name, 0, "failed", None, {}, "y" * 20_000, NOON, ""),
    ]
    deliver(projection, records)
    _, children = list_runs(client, name)
    assert children[0].data.metrics == {
        "f1 _u0028_macro_u0029__u0040_k": 0.5,
        "curves/f1 _u0028_macro_u0029__u0040_k": 0.5,
    }
    assert 5900 < len(children[0].data.params["lr schedule"]) <= 6000
    assert (children[0].data.params["none"], children[0].data.params["yes"]) == ("None", "True")
    assert 4900 < len(children[0].data.tags["kerastudy.reason"]) <= 5000


def test_rows_left_behind_find_their_study(home, client, name, a_study):
    """A process that did not deliver the study's first row needs only to remember it."""
    records = a_study(name)
    deliver(connect(home), records[:3])
    later = connect(home)
    with pytest.raises(KerastudyError, match="never opened"):
        later.deliver([records[3]])
    later.remember(records[0])
    deliver(later, records[3:])
    _, children = list_runs(client, name)
    assert len(children) == 4


@pytest.mark.long
def test_no_tensorflow_is_needed(home, name, a_study, keras_file):
    """Recording a study, models included, imports neither TensorFlow nor Keras and prints nothing."""
    import pickle
    import subprocess
    import sys

    records = home / f"{name}.pickle"
    records.write_bytes(pickle.dumps(a_study(name, models={1: keras_file}, register=f"{name}-model")))
    code = (
        "import pickle, sys, pathlib\n"
        "from tracking.mlflow.projection import MlflowProjection\n"
        f"target = MlflowProjection({uri(home / 'fresh')!r}, artifact_root={(home / 'fresh').as_uri()!r})\n"
        f"for record in pickle.loads(pathlib.Path({str(records)!r}).read_bytes()): target.deliver([record])\n"
        "sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras', 'torch')))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_history_is_kept_as_a_table(projection, client, name, a_study, files):
    """The CSV of a trial can be read back from its run."""
    deliver(projection, a_study(name, folder=files))
    _, children = list_runs(client, name)
    with open(client.download_artifacts(children[0].info.run_id, "history.csv"), newline="") as lines:  # noqa: PTH123
        assert list(csv.DictReader(lines)) == [{"epoch": "0", "loss": "1.0"}]


def test_studies_of_one_experiment_share_a_view(projection, client, name, a_study):
    """Each study has a leaderboard; the view of all studies has the columns of all."""
    from dataclasses import replace

    from tracking.mlflow.shared_views import TAG_PREFIX, _unpack_state, make_leaderboard_view_id, make_studies_view_id

    one, other = a_study(name)[0], a_study(f"{name}-b", metric="val_loss", direction="minimize")[0]
    deliver(projection, [one, replace(other, experiment=one.experiment)])
    tags = client.get_experiment_by_name(one.experiment).tags
    assert f"{TAG_PREFIX}{make_leaderboard_view_id(name)}" in tags
    board = _unpack_state(tags[f"{TAG_PREFIX}{make_leaderboard_view_id(f'{name}-b')}"])
    assert (board["orderByKey"], board["orderByAsc"]) == ("metrics.`best_val_loss`", True)
    shared = _unpack_state(tags[f"{TAG_PREFIX}{make_studies_view_id(one.experiment)}"])
    assert shared["selectedColumns"] == ["metrics.`best_val_accuracy`", "tags.`state`", "metrics.`best_val_loss`"]


def test_a_study_opened_twice_keeps_its_run(projection, client, name, a_study):
    """A study that continues after a pause gets no second parent."""
    opened = a_study(name)[0]
    deliver(projection, [opened, StudyOpened(**{**vars(opened), "started_ms": NOON + 99})])
    parent, _ = list_runs(client, name)
    assert parent.info.start_time == NOON
