"""Runs of studies and trials: found by their keys, created once, restored; on a real MLflow database."""

import itertools

import mlflow
import pytest
from projected import connect, deliver, list_runs

from tracking.mlflow.runs import _make_slug


@pytest.mark.parametrize("cut", ["create_run", "log_batch", "set_terminated"])
@pytest.mark.parametrize("call", [2, 4])
def test_a_kill_between_requests_leaves_one_run_a_trial(
    client, home, name, a_study, monkeypatch, by_requests, cut, call
):
    """Whichever request was the last that MLflow took, delivering again completes the same runs."""
    records = a_study(name)
    first = by_requests(home)
    first.deliver(records[:1])
    real, calls = getattr(first._client, cut), itertools.count(1)

    def take_and_die(*args, **kwargs):
        answer = real(*args, **kwargs)
        if next(calls) == call:
            raise ConnectionResetError
        return answer

    monkeypatch.setattr(first._client, cut, take_and_die)
    with pytest.raises(ConnectionResetError):
        first.deliver(records[1:])
    first.deliver(records[1:])  # the same process tries again
    connect(home).deliver(records)
    parent, children = list_runs(client, name)
    assert (parent.info.status, len(children)) == ("FINISHED", 4)
    assert [run.info.status for run in children.values()] == ["FINISHED", "FINISHED", "FINISHED", "FAILED"]


def test_runs_are_looked_for_once(client, home, name, a_study, monkeypatch):
    """A process loads a study's runs once, in pages, and not again for each trial."""
    records = a_study(name)
    connect(home).deliver(records[:-4])
    monkeypatch.setattr("tracking.mlflow.runs._RUNS_A_PAGE", 2)
    later, requests = connect(home), []
    real = later._client.search_runs
    monkeypatch.setattr(
        later._client, "search_runs", lambda *args, **more: requests.append(more) or real(*args, **more)
    )
    later.deliver(records[:-1])
    assert [each["max_results"] for each in requests] == [20, 2, 2]
    assert len(list_runs(client, name)[1]) == 4


def test_two_stores_do_not_share_runs(client, home, name, a_study):
    """Studies of the same name from two homes have separate runs."""
    for namespace in ("home-a", "home-b"):
        deliver(connect(home, namespace=namespace), a_study(name))
    experiment = client.get_experiment_by_name(f"{name}-experiment")
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) == 10
    assert len({run.data.tags["kerastudy.key"] for run in runs}) == 10


def test_a_deleted_run_is_made_anew(projection, client, name, a_study):
    """A run that a person deleted in the UI fails one attempt, and is there again with the next."""
    records = a_study(name)
    deliver(projection, records[:3])
    _, children = list_runs(client, name)
    client.delete_run(children[0].info.run_id)
    with pytest.raises(mlflow.MlflowException):
        projection.deliver([records[3]])
    deliver(projection, records[3:])
    parent, children = list_runs(client, name)
    assert (parent.info.status, len(children)) == ("FINISHED", 4)


def test_a_deleted_experiment_is_restored(client, home, name, a_study):
    """An experiment that a person deleted comes back with its runs when the study continues."""
    records = a_study(name)
    deliver(connect(home), records[:3])
    client.delete_experiment(list_runs(client, name)[0].info.experiment_id)
    deliver(connect(home), records)
    parent, children = list_runs(client, name)
    assert (parent.info.status, len(children)) == ("FINISHED", 4)


@pytest.mark.parametrize("name", ["..", ".", "../..", "a/../../b", "/etc", "..\\.."])
def test_an_experiments_folder_is_below_the_root(tmp_path, name):
    """Whatever its name is made of."""
    place = (tmp_path / _make_slug(name)).resolve()
    assert (place.parent, place.name) == (tmp_path.resolve(), _make_slug(name))
