"""An open store in a temporary home."""

from __future__ import annotations

import shutil

import pytest

from tracking.store import FILE_NAME, Store


@pytest.fixture(scope="session")
def _empty_database(tmp_path_factory):
    """Make a database with all tables once: making them takes longer than most tests."""
    home = tmp_path_factory.mktemp("empty")
    with Store.open(home) as store:
        store.optuna_storage().engine.dispose()
    return home / FILE_NAME


@pytest.fixture
def store(tmp_path, _empty_database):
    """An empty store below `tmp_path`/home."""
    home = tmp_path / "home"
    home.mkdir()
    shutil.copyfile(_empty_database, home / FILE_NAME)
    with Store.open(home) as opened:
        yield opened
