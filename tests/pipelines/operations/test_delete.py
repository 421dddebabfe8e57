"""Deletion of a study: rows, files, MLflow's runs and versions; refused where something needs it."""

from __future__ import annotations

import mlflow
import pytest
import sqlalchemy as sa
from desk import FILE, SUMMARY, scores
from fake_engine import FakeEngine
from small_studies import study_of

from pipelines.operations.delete import delete_study
from pipelines.operations.submit import enqueue, submit_study
from pipelines.queries.study_reader import StudyReader
from pipelines.study.load import check_document
from search_spaces.errors import ConflictError, KerastudyError, UnknownError
from tracking.mlflow import urls
from tracking.mlflow.shared_views import make_leaderboard_view_id
from tracking.store import tables
from tracking.store.deletions import _OF_A_STUDY, Deletions
from tracking.store.processes import identify_process
from tracking.store.study_queue import StudyQueue


def client_of(home):
    uri = urls.make_home_tracking_uri(home.folder)
    return mlflow.MlflowClient(uri, registry_uri=uri)


def finish(desk, trials=2, alias=""):
    """Run a study to its end, and deliver it; its winner has this alias, instead of `champion`."""
    desk.run(FakeEngine(scores(3.0, 2.0, 4.0)), trials=trials)
    desk.deliver()
    client = client_of(desk.home)
    client.delete_registered_model_alias("it", "champion")
    if alias:
        client.set_registered_model_alias("it", alias, "1")
    return client


def rows_of(store, study):
    """Return the tables, Optuna's too, that hold a row of a study."""
    found = sa.MetaData()
    found.reflect(store.engine)
    with store.read() as connection:
        return {
            table.name
            for table in found.tables.values()
            for column in table.columns
            if column.name in ("study", "name", "study_name")
            and connection.scalar(sa.select(sa.func.count()).where(column == study))
        } | {
            table.name
            for table in found.tables.values()
            if table.name.startswith(("trial", "study_"))
            and connection.scalar(sa.select(sa.func.count()).select_from(table))
        }


def test_a_deleted_study_leaves_nothing(tracked_desk, tracked_home):
    """Rows, files, runs, models and the experiment are gone, and a new study of that name begins from nothing."""
    client = finish(tracked_desk)
    experiment = client.get_experiment_by_name("it")
    assert len(client.search_runs([experiment.experiment_id])) == 3
    done = delete_study(tracked_home, "it")
    assert done.freed_bytes > 0
    assert done.notes == ()
    assert rows_of(tracked_desk.store, "it") == set()
    assert not tracked_home.locate_study("it").exists()
    assert client.get_experiment_by_name("it") is None
    assert [*(tracked_home.folder / "mlartifacts").iterdir()] == []
    finish(tracked_desk, trials=1)
    assert len(client.search_runs([client.get_experiment_by_name("it").experiment_id])) == 2
    assert [trial.number for trial in tracked_desk.trials()] == [0]


def test_each_table_with_a_study_is_decided(tracked_desk):
    """A new table with rows of a study is either cleared with it, or kept on purpose."""
    kept = {"kerastudy_registered_names", "kerastudy_audit"}
    known = {table.name for table in (*_OF_A_STUDY, tables.outbox)}
    assert {name for name, table in tables.metadata.tables.items() if "study" in table.columns} - kept == known


def test_others_of_its_experiment_stay(tracked_desk, tracked_home, monkeypatch):
    """Of an experiment that two studies share, only the study's part goes."""
    shared = FILE + "\n"
    for name in ("it", "it_2"):
        text = shared.format(trials=1, pruner="none", sampler="random", budget="", keep=3, fleet="off", selection="")
        text = text.replace("study: it", f"study: {name}").replace("keep_models: 3", "keep_models: 3, experiment: both")
        if name == "it":
            tracked_desk.run(FakeEngine(scores(3.0)), study=study_of(text))
        else:
            enqueue(study_of(text), SUMMARY, tracked_desk.store)
    tracked_desk.deliver()
    client = client_of(tracked_home)
    client.delete_registered_model_alias("it", "champion")
    experiment = client.get_experiment_by_name("both").experiment_id
    client.create_run(experiment, tags={"kerastudy.key": f"{tracked_desk.store.identity}/it_2"})
    client.create_run(experiment, tags={"kerastudy.key": f"{tracked_desk.store.identity}/itX"})
    delete_study(tracked_home, "it")
    left = {run.data.tags["kerastudy.key"].partition("/")[2] for run in client.search_runs([experiment])}
    assert left == {"it_2", "itX"}
    assert not [tag for tag in client.get_experiment(experiment).tags if tag.endswith(_view("it"))]
    assert [record.name for record in tracked_desk.queue.list()] == ["it_2"]


def _view(study):
    return make_leaderboard_view_id(study)


def test_a_promoted_model_is_named_and_keeps_its_study(tracked_desk, tracked_home):
    """An alias holds the whole study; with force its version goes, and with it the registered model."""
    client = finish(tracked_desk, alias="champion")
    with pytest.raises(ConflictError, match=r"models:/it@champion is version 1, trial 1 of it.*--force"):
        delete_study(tracked_home, "it")
    assert tracked_desk.queue.get("it").state == "finished"
    assert Deletions(tracked_desk.store).list() == ()
    done = delete_study(tracked_home, "it", force=True)
    assert done.versions == ("it 1",)
    assert client.search_registered_models() == []


def test_an_alias_that_the_caller_may_not_move_stays(tracked_desk, tracked_home):
    """Nothing is removed and nothing stored where the aliases of its versions are somebody else's."""
    finish(tracked_desk, alias="champion")

    def refuse(model, alias):
        raise ConflictError(f"{model}@{alias} is protected")

    with pytest.raises(ConflictError, match="it@champion is protected"):
        delete_study(tracked_home, "it", force=True, may_remove=refuse)
    assert Deletions(tracked_desk.store).list() == ()
    assert tracked_desk.queue.get("it").state == "finished"


@pytest.mark.parametrize("alias", ["", "challenger"])
def test_a_version_that_nobody_promoted_goes(alias, tracked_desk, tracked_home):
    """A version without an alias, or with that of a winner that waits for its promotion, holds nothing."""
    client = finish(tracked_desk, alias=alias)
    client.create_model_version("it", "/elsewhere", tags={"by": "hand"})
    assert delete_study(tracked_home, "it").versions == ("it 1",)
    assert [version.version for version in client.search_model_versions("name = 'it'")] == [2]


@pytest.mark.long
def test_a_study_that_starts_from_it_holds_it(tracked_desk, tracked_home):
    """A waiting study needs the trials of the study that it starts from until it has copied them."""
    finish(tracked_desk)
    later = check_document(
        tracked_desk.study()
        .document.replace_value(("study",), "later", "s.yaml")
        .replace_value(("search",), {"sampler": "gp", "start_from": {"study": "it"}}, "s.yaml"),
        tracked_home.folder,
    )
    with tracked_desk.store.write() as connection:
        submit_study(later, StudyQueue(tracked_desk.store), connection)
    with pytest.raises(ConflictError, match="later starts from it, and has not begun"):
        delete_study(tracked_home, "it")
    tracked_desk.queue.set_state("later", "cancelled")
    delete_study(tracked_home, "it")


def test_a_study_at_work_is_not_deleted(tracked_desk, tracked_home):
    """A process that works on a study keeps it, and the message names the process."""
    finish(tracked_desk)
    tracked_desk.queue.claim("it", identify_process(), 60)
    with pytest.raises(
        ConflictError, match=r"process .* still changes or records it, .* then kerastudy delete it again"
    ):
        delete_study(tracked_home, "it", force=True)


def test_nothing_is_removed_while_mlflow_is_away(tracked_desk, tracked_home, monkeypatch):
    """Whether a model is promoted is not known then: the study stays whole."""
    finish(tracked_desk)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(KerastudyError, match="does not answer"):
        delete_study(tracked_home, "it")
    assert tracked_desk.queue.get("it").state == "finished"


def test_a_study_that_never_began_needs_no_mlflow(tracked_desk, tracked_home, monkeypatch):
    """A submitted study has nothing in MLflow."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with tracked_desk.store.write() as connection:
        submit_study(tracked_desk.study(), tracked_desk.queue, connection)
    delete_study(tracked_home, "it")
    with pytest.raises(UnknownError):
        delete_study(tracked_home, "it")


def test_a_half_deleted_study_is_listed_and_cannot_go_on(tracked_desk, tracked_home, monkeypatch):
    """A deletion that was cut off shows as `deleting`, keeps the name, and is completed by the next call."""
    finish(tracked_desk)
    monkeypatch.setattr("pipelines.operations.delete._remove_rows", _fail)
    with pytest.raises(RuntimeError):
        delete_study(tracked_home, "it")
    monkeypatch.undo()
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with StudyReader.open(tracked_home) as reader:
        assert [(row.name, row.state) for row in reader.list_studies()] == [("it", "deleting")]
        assert reader.read_study("it").state == "deleting"
    with tracked_desk.store.write() as connection, pytest.raises(ConflictError, match="is being deleted"):
        submit_study(tracked_desk.study(), tracked_desk.queue, connection)
    delete_study(tracked_home, "it")
    assert rows_of(tracked_desk.store, "it") == set()


def _fail(*arguments):
    raise RuntimeError
