"""Verbs that keep MLflow in step with a home."""

import json
import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow_picture import drop_ids, read_picture

from tracking.mlflow import urls
from tracking.outbox.outbox import Outbox
from tracking.outbox.records import ParametersDrawn
from tracking.store.database import Store


@pytest.fixture
def copied(finished, tmp_path):
    """A copy of the finished study's home, to be changed."""
    return Path(shutil.copytree(finished.home, tmp_path / "copied"))


def leave_something(home: Path) -> None:
    """Add a record that changes nothing to those that wait."""
    with Store.open(home) as store:
        Outbox(store).add([ParametersDrawn("cancer", 0, {})])


def test_sync(call, copied):
    """Waiting records are delivered and counted; then there is nothing to do."""
    leave_something(copied)
    assert call("--home", copied, "sync")[:2] == (0, "cancer: 1 record delivered\n")
    assert call("--home", copied, "sync")[:2] == (0, "MLflow is up to date\n")
    code, out, _ = call("--home", copied, "sync", "cancer", "--json")
    assert (code, json.loads(out)) == (
        0,
        [{"study": "cancer", "delivered": 0, "left": 0, "reason": "", "is_busy": False}],
    )


def test_sync_without_mlflow(call, copied, monkeypatch):
    """Undelivered records are an error with the reason; nothing is lost, and `show` prints the same."""
    leave_something(copied)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    code, out, _ = call("--home", copied, "sync", "--wait", "1")
    assert code == 1
    assert out.startswith("cancer: 0 records delivered, 1 left (MLflow does not answer: MlflowException: API request")
    _, shown, _ = call("--home", copied, "show", "cancer")
    assert "1 record to go (MLflow does not answer: MlflowException: " in shown
    read = json.loads(call("--home", copied, "show", "cancer", "--json")[1])
    assert (read["waiting_for_mlflow"], read["mlflow_error"][:22]) == (1, "MLflow does not answer")


def test_running_a_finished_study_delivers_what_waits(call, copied, finished):
    """The file is run again, nothing is left to train, and the waiting records are delivered."""
    leave_something(copied)
    code, out, _ = call("--home", copied, "run", finished.file, "--trials", "3")
    assert (code, "nothing is left to do" in out, "not in MLflow yet" in out) == (0, True, False)
    with Store.open(copied) as store:
        assert Outbox(store).read_backlog("cancer").rows == 0


def test_rebuild_tracking(call, copied, finished, tmp_path, monkeypatch):
    """In an empty MLflow a study of real trainings looks as it did in the one that was lost."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", urls.make_home_tracking_uri(tmp_path))
    assert call("--home", copied, "rebuild-tracking", "cancer")[0] == 0
    pictures = []
    for folder in (finished.home, tmp_path):
        uri = urls.make_home_tracking_uri(folder)
        pictures.append(drop_ids(read_picture(MlflowClient(uri, registry_uri=uri), "cancer"), times=False))
    shown = []
    for runs, models, _ in pictures:
        # It ended twice; its first end is not emitted again.
        assert runs.pop("cancer")[0] == "FINISHED"
        for _, _, _, tags, histories, *_ in runs.values():
            tags.pop("kerastudy.why_alone", None)
            for name in [name for name in histories if name.startswith(("test_", "validation_"))]:
                del histories[name]
        shown.append((runs, models))
    assert len(shown[0][0]) == 3
    assert shown[0] == shown[1]


@pytest.mark.parametrize("verb", ["sync", "rebuild-tracking"])
def test_maintenance_of_an_unknown_study(call, copied, tmp_path, verb):
    """An unknown study and an empty home are bad input."""
    code, _, err = call("--home", copied, verb, "cancel")
    assert (code, 'there is no study "cancel"' in err, 'did you mean "cancer"' in err) == (2, True, True)
    code, _, err = call("--home", tmp_path / "empty", verb, "cancer")
    assert (code, "there are no studies in" in err) == (2, True)
