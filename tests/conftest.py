"""A real PostgreSQL server for the tests that want one: started with the first of them, gone after the last."""

from __future__ import annotations

import os
from pathlib import Path

import postgresql as cluster
import pytest

_LONGEST = (
    "test_service.py",
    "test_failpoints.py",
    "test_end_to_end.py",
    "test_keras_tuner_oracle.py",
    "test_promotion.py",
    "test_docs.py",
    "test_mlflow_faults.py",
    "test_trial_faults.py",
    "test_contract.py",
    "test_export.py",
    "test_cli.py",
    "test_replaying.py",
    "test_user_models.py",
    "test_disk_full.py",
)
"""Files of minutes: begun last, one of them would keep a process busy when all others are done."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest; each file stays together and in order."""
    rank = {name: place for place, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: rank.get(Path(item.path).name, len(rank)))


@pytest.fixture(scope="session")
def postgresql_server():
    """The URL of a server, without a database; KERASTUDY_TEST_POSTGRESQL may name one that runs already."""
    if running := os.environ.get("KERASTUDY_TEST_POSTGRESQL", ""):
        yield running.rstrip("/")
    elif reason := cluster.explain_unavailable():
        pytest.skip(reason)
    else:
        with cluster.server() as url:
            yield url


@pytest.fixture
def postgresql(postgresql_server):
    """The URL of an empty PostgreSQL database."""
    return cluster.create_database(postgresql_server)
