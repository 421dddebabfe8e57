"""Data of runs, on a real SQLite backend: what MLflow refuses keeps nothing else from a run."""

from __future__ import annotations

from dataclasses import replace

import pytest
from mlflow.entities import Metric
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from projected import connect, deliver, list_runs
from requests.exceptions import HTTPError

from tracking.mlflow.formatting import CURVES
from tracking.mlflow.names import encode_name
from tracking.outbox.dispatcher import OutboxDispatcher
from tracking.outbox.outbox import Outbox
from tracking.outbox.records import EpochsRecorded, ParametersDrawn, TrialFinished, TrialStarted
from tracking.outbox.sink import RefusedPartsError
from tracking.store.database import Store

NOON = 1_750_000_000_000
ODD = ["../x", "a//b", "lr@2", "x" * 300, "x" * 300 + "y", "LR", "lr", "b\u00e4r", "bar", " ", "\n", "a_u0040_"]


def test_any_names_of_hyperparameters(projection, client, name, a_study):
    """Hyperparameters of any names arrive, each under a name of its own; a name that was cut is in a tag."""
    params = {each: number for number, each in enumerate(ODD)}
    deliver(projection, [a_study(name)[0], TrialStarted(name, 0, params, NOON)])
    _, children = list_runs(client, name)
    shown = children[0].data.params
    assert sorted(map(int, shown.values())) == list(range(len(ODD)))
    assert shown[encode_name("../x")] == "0"
    cut = [value for tag, value in children[0].data.tags.items() if tag.startswith("kerastudy.name")]
    assert sorted(cut) == ["x" * 300, "x" * 300 + "y"]


def test_a_study_of_any_name(projection, client, home, a_study, keras_file):
    """A study that a tuner names may have quotation marks, and one beside it a name that begins like it."""
    name = 'it\'s "odd": 50%/_'
    records = a_study(name, models={1: keras_file})
    deliver(projection, records)
    deliver(connect(home), [records[0], replace(records[0], study=f"{name}/2"), TrialStarted(f"{name}/2", 0, {}, NOON)])
    deliver(connect(home), records)
    runs = client.search_runs([client.get_experiment_by_name(f"{name}-experiment").experiment_id])
    assert sorted(run.info.run_name for run in runs) == sorted(
        [name, f"{name}/2", f"{name}/2-t000", *(f"{name}-t00{part}" for part in ("0", "1", "2 (pruned)", "3"))]
    )


def test_a_refused_parameter(projection, client, name, a_study):
    """MLflow takes no second value of a parameter: the others of the same request arrive, and so does the trial."""
    drawn = ParametersDrawn(name, 0, {f"p{number}": 1 for number in range(150)})
    changed = ParametersDrawn(name, 0, {"p3": 2, "p149": 2, "q": 3})
    finished = TrialFinished(name, 0, "complete", 0.5, {"best_loss": 0.5, "best_epoch": 1.0}, "", NOON, "")
    deliver(projection, [a_study(name)[0], TrialStarted(name, 0, {}, NOON), drawn])
    with pytest.raises(RefusedPartsError) as caught:
        projection.deliver([changed, EpochsRecorded(name, 0, ((0, NOON, {"loss": 1.0}),)), finished])
    assert f'the hyperparameter "p3" of {name}-t000: ' in str(caught.value)
    assert f'; the hyperparameter "p149" of {name}-t000: ' in str(caught.value)
    _, children = list_runs(client, name)
    assert (children[0].data.params["p3"], children[0].data.params["q"]) == ("1", "3")
    assert (children[0].data.metrics["loss"], children[0].info.status) == (1.0, "FINISHED")
    projection.deliver([finished])  # what was refused is forgotten


def test_a_deleted_run_is_no_refusal(projection, client, name, a_study):
    """A run that a person deleted is made again, and nothing is taken for refused."""
    started = TrialStarted(name, 0, {"p": 1}, NOON)
    deliver(projection, [a_study(name)[0], started])
    _, children = list_runs(client, name)
    client.delete_run(children[0].info.run_id)
    epochs = EpochsRecorded(name, 0, ((0, NOON, {"loss": 1.0}),))
    with pytest.raises(Exception, match="active"):
        projection.deliver([epochs])
    projection.deliver([started, epochs])
    _, children = list_runs(client, name)
    assert (children[0].data.params, children[0].data.metrics) == ({"p": "1"}, {"loss": 1.0, "curves/loss": 1.0})


def test_a_refused_file(projection, client, name, a_study, tmp_path, monkeypatch):
    """A file that is refused keeps no other from its run."""
    (tmp_path / "files" / "sub").mkdir(parents=True)
    for file in ("a.csv", "b.csv", "sub/c#.csv"):
        (tmp_path / "files" / file).write_text("x")
    log_artifact = LocalArtifactRepository.log_artifact

    def refuse(self, file, to=None):
        if file.endswith("a.csv"):
            raise HTTPError("413 Request Entity Too Large", response=_Answer(413))
        log_artifact(self, file, to)

    def refuse_all(self, folder, to=None):
        raise HTTPError("413 Request Entity Too Large", response=_Answer(413))

    monkeypatch.setattr(LocalArtifactRepository, "log_artifact", refuse)
    monkeypatch.setattr(LocalArtifactRepository, "log_artifacts", refuse_all)
    finished = TrialFinished(name, 0, "failed", None, {}, "", NOON, str(tmp_path / "files"))
    deliver(projection, [a_study(name)[0], TrialStarted(name, 0, {}, NOON)])
    with pytest.raises(RefusedPartsError) as caught:
        projection.deliver([finished])
    assert str(caught.value) == f"MLflow refused the file a.csv of {name}-t000: 413 Request Entity Too Large"
    _, children = list_runs(client, name)
    listed = [item.path for path in (None, "sub") for item in client.list_artifacts(children[0].info.run_id, path)]
    assert listed == ["b.csv", "sub", "sub/c_u0023_.csv"]


class _Answer:
    def __init__(self, status_code):
        self.status_code = status_code


def test_a_refused_registration_ends_the_study(projection, client, name, a_study, keras_file, monkeypatch):
    """A model that MLflow does not register keeps neither scores nor the end of the study from its run."""
    *records, closed = a_study(name, models={1: keras_file}, register="no/such: name")
    deliver(projection, records)
    with pytest.raises(RefusedPartsError, match="MLflow refused the registered model no/such: name: "):
        projection.deliver([closed])
    parent, _ = list_runs(client, name)
    assert (parent.info.status, parent.data.metrics["test_accuracy"]) == ("FINISHED", 0.75)


def test_the_outbox_goes_on(projection, client, home, name, a_study, tmp_path):
    """A row with a part that MLflow refuses is set aside and names it; every other row arrives."""
    opened, *others = a_study(name)
    deliver(projection, [opened, others[0]])
    changed = ParametersDrawn(name, 0, {"optimizer": "changed", "units": 3})
    with Store.open(tmp_path / "store") as store:
        outbox = Outbox(store)
        outbox.add([opened, *others[:3], changed, *others[3:]])
        running = OutboxDispatcher(store, lambda check: connect(home), longest_pause_s=0.05)
        running.start()
        left = running.stop(60)
    assert (left.pending, left.set_aside) == (0, 1)
    assert left.last_error.startswith(f'MLflow refused the hyperparameter "optimizer" of {name}-t000: ')
    parent, children = list_runs(client, name)
    assert (parent.info.status, len(children)) == ("FINISHED", 4)
    assert (children[0].data.params["units"], children[3].info.status) == ("3", "FAILED")


def test_points_are_renamed_whole(projection, client, name, a_study):
    """Metrics of any names keep value and time; the step counts epochs from 1."""
    points = {each: float(number) for number, each in enumerate(ODD)}
    deliver(
        projection, [a_study(name)[0], TrialStarted(name, 0, {}, NOON), EpochsRecorded(name, 0, ((4, NOON, points),))]
    )
    _, children = list_runs(client, name)
    found = {key: value for key, value in children[0].data.metrics.items() if not key.startswith(CURVES)}
    assert sorted(found.values()) == sorted(points.values())
    (point,) = client.get_metric_history(children[0].info.run_id, encode_name("lr@2"))
    assert (point.value, point.step, point.timestamp) == (2.0, 5, NOON)
    assert isinstance(point, Metric)
