"""A real PostgreSQL server for the tests that want one: started with the first of them, gone after the last."""

from __future__ import annotations

import os

import postgresql as cluster
import pytest


@pytest.fixture(scope="session")
def postgresql_server():
    """The URL of a server, without a database; KERASTUDY_TEST_POSTGRESQL may name one that runs already."""
    if running := os.environ.get("KERASTUDY_TEST_POSTGRESQL", ""):
        yield running.rstrip("/")
    elif reason := cluster.why_not():
        pytest.skip(reason)
    else:
        with cluster.server() as url:
            yield url


@pytest.fixture
def postgresql(postgresql_server):
    """The URL of an empty PostgreSQL database."""
    return cluster.new_database(postgresql_server)
