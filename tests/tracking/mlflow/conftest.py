"""A projection to a real MLflow database, one a module."""

import itertools

import mlflow
import projected
import pytest

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
