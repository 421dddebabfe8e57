"""Archive of a study: hidden in MLflow, thinned out, readable, and shown again."""

from __future__ import annotations

import mlflow
import pytest
from desk import scores
from fake_engine import FakeEngine
from mlflow.entities import ViewType

from pipelines.operations.archive import ArchiveResult, archive_study, unarchive_study
from pipelines.operations.control import load_resumable
from pipelines.operations.submit import submit_study
from pipelines.queries.study_reader import StudyReader
from search_spaces.errors import ConflictError
from tracking.mlflow import urls


@pytest.fixture
def client(tracked_desk, tracked_home):
    """MLflow's client, after a delivered study of three trials with models and a left checkpoint."""
    tracked_desk.run(FakeEngine(scores(3.0, 2.0, 4.0)), trials=3)
    tracked_desk.deliver()
    (tracked_home.locate_trial("it", 2) / "fold-0.checkpoint").write_bytes(bytes(1000))
    uri = urls.make_home_tracking_uri(tracked_home.folder)
    return mlflow.MlflowClient(uri, registry_uri=uri)


def runs_of(client, stage):
    experiment = client.get_experiment_by_name("it")
    return len(client.search_runs([experiment.experiment_id], run_view_type=stage))


def test_an_archived_study_keeps_its_winner(client, tracked_desk, tracked_home):
    """Runs are hidden as MLflow hides deleted ones; only the winner and what is registered keep their models."""
    assert tracked_desk.models() == [0, 1, 2]
    done = archive_study(tracked_home, "it")
    assert done.is_archived
    assert done.freed_bytes > 1000
    assert tracked_desk.models() == [1]
    assert not (tracked_home.locate_trial("it", 2) / "fold-0.checkpoint").exists()
    assert (runs_of(client, ViewType.ACTIVE_ONLY), runs_of(client, ViewType.DELETED_ONLY)) == (0, 4)
    models = client.search_logged_models([client.get_experiment_by_name("it").experiment_id])
    assert [model.name for model in models] == ["it-t001"]
    assert client.get_model_version_by_alias("it", "champion").version
    with StudyReader.open(tracked_home) as reader:
        assert reader.find_best_trial("it").model
        assert reader.read_study("it").state == "finished"
    assert archive_study(tracked_home, "it").freed_bytes == 0


def test_an_archived_study_does_not_go_on(client, tracked_desk, tracked_home):
    """Its checkpoints are gone: it is submitted and resumed after it was unarchived only."""
    archive_study(tracked_home, "it")
    larger = tracked_desk.study(trials=5)
    with (
        tracked_desk.store.write() as connection,
        pytest.raises(ConflictError, match="archived: kerastudy unarchive it"),
    ):
        submit_study(larger, tracked_desk.queue, connection)
    with pytest.raises(ConflictError, match="archived"):
        load_resumable(tracked_home, "it")
    assert unarchive_study(tracked_home, "it") == ArchiveResult("it", False)
    assert (runs_of(client, ViewType.ACTIVE_ONLY), runs_of(client, ViewType.DELETED_ONLY)) == (4, 0)
    with tracked_desk.store.write() as connection:
        assert submit_study(larger, tracked_desk.queue, connection)


def test_a_run_that_a_person_deleted_stays_deleted(client, tracked_home):
    """Of the deleted runs, `unarchive` restores those that `archive` has hidden."""
    experiment = client.get_experiment_by_name("it").experiment_id
    client.delete_run(client.search_runs([experiment], "tags.number = '0'")[0].info.run_id)
    archive_study(tracked_home, "it")
    unarchive_study(tracked_home, "it")
    assert runs_of(client, ViewType.DELETED_ONLY) == 1


@pytest.mark.parametrize("state", ["queued", "paused", "running"])
def test_a_study_that_may_go_on_is_not_archived(state, client, tracked_desk, tracked_home):
    """What a study needs to go on is not removed."""
    tracked_desk.queue.set_state("it", state)
    with pytest.raises(ConflictError, match=f"it is {state}"):
        archive_study(tracked_home, "it")
    assert tracked_desk.models() == [0, 1, 2]
