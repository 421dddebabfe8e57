"""A service in this process."""

from __future__ import annotations

import pytest
from served import run_service


@pytest.fixture
def service(tmp_path):
    """A service that takes small uploads and reads one folder of data."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("x,y\n1,2\n")
    with run_service(tmp_path, data=[str(tmp_path / "data")], uploads=1000, all_uploads=1500) as running:
        yield running


@pytest.fixture
def ann(service):
    """Header of a submitter."""
    return service.token("ann")


@pytest.fixture
def bob(service):
    """Header of another submitter."""
    return service.token("bob")


@pytest.fixture
def admin(service):
    """Header of an admin."""
    return service.token("root", "admin")


@pytest.fixture
def reader(service):
    """Header of a token that may only read."""
    return service.token("eve", "read")
