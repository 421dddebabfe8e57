"""A projection to a real MLflow database, one a module."""

import itertools

import mlflow
import projected
import pytest

from tracking.mlflow import run_rows

_names = (f"study-{number}.x" for number in itertools.count())


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("mlflow")


@pytest.fixture(scope="module")
def projection(home):
    return projected.connect(home)


@pytest.fixture
def client(projection, home):
    return mlflow.MlflowClient(projected.uri(home))


@pytest.fixture
def name():
    """Name of a study that no other test has."""
    return next(_names)


@pytest.fixture
def by_requests(monkeypatch):
    """Connect a projection that lets MLflow's client write the runs, as with a server."""

    def connect(home):
        with monkeypatch.context() as only_here:
            only_here.setattr(run_rows, "VERSIONS", frozenset())
            projection = projected.connect(home)
        assert projection._trials._rows is None
        return projection

    return connect
