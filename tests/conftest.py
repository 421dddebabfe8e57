"""Fixtures of all tests, and what the processes of a session share: a folder and a real PostgreSQL server."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import postgresql as cluster
import pytest
import session_processes
from hypothesis import HealthCheck, settings
from mlflow_tables import make_tables_once

# What is imported and collected stays to the end of the session.
gc.disable()
# A second for each study, also in processes that tests start; the tests of baselines turn them on.
os.environ.setdefault("KERASTUDY_BASELINES", "off")
session_processes.begin_session()
# No example may fail because a machine is busy.
settings.register_profile("any speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any speed")

_LONGEST = (
    "test_trainers.py",
    "test_trial.py",
    "test_service.py",
    "test_contract.py",
    "test_failpoints.py",
    "test_end_to_end.py",
    "test_cli_study.py",
    "test_faults.py",
    "test_promote.py",
    "test_trial_faults.py",
    "test_keras_tuner_oracle.py",
    "test_docs.py",
    "test_export.py",
    "test_local_engine.py",
    "test_sync.py",
    "test_distribution.py",
    "test_independence.py",
    "test_replay.py",
    "test_http_server.py",
)
"""Files of minutes: started last, one of them would keep a process busy when all others are done."""


_OBJECTS = 50_000
"""New objects after which Python's collector runs."""

_OUTLIVED = 10
"""Exit status of a session with processes left: no test has failed that could run again."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the files that take longest; each file stays together and in order."""
    rank = {name: place for place, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: rank.get(Path(item.path).name, len(rank)))


def pytest_collection_finish() -> None:
    """Let Python's collector skip what is there by now, and run seldom: it was a fifth of the tests' time."""
    gc.freeze()
    gc.set_threshold(_OBJECTS, 20, 100)
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """End what the session shares; a process that has outlived its test fails the session."""
    result = yield
    if left := session_processes.end_session():
        print("\nprocesses have outlived their tests:", *left, sep="\n", file=sys.stderr)
        session.exitstatus = _OUTLIVED
    return result


@pytest.fixture(scope="session", autouse=True)
def _mlflow_tables(tmp_path_factory):
    """MLflow's tables are made once in a process."""
    with make_tables_once(tmp_path_factory.mktemp("tables")):
        yield


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
