"""Optuna's tables of an older Optuna are upgraded in place, those of a newer one refused."""

import optuna
import pytest
import sqlalchemy as sa

from search_spaces.errors import KerastudyError
from tracking.store.database import Store


def set_version(store, version, *statements):
    with store.write() as connection:
        for statement in (*statements, f"UPDATE alembic_version SET version_num = '{version}'"):
            connection.execute(sa.text(statement))


def test_older_tables_are_upgraded(store):
    """Optuna's own migrations run, studies stay, and an SQLite file is copied first."""
    storage = store.open_optuna_storage()
    optuna.create_study(storage=storage, study_name="s")
    newest = storage.get_head_version()
    storage.engine.dispose()
    set_version(store, "v3.0.0.d", "DROP INDEX ix_trials_study_id")
    for _ in range(2):
        upgraded = store.open_optuna_storage()
        assert upgraded.get_current_version() == newest
        assert [study.study_name for study in upgraded.get_all_studies()] == ["s"]
        upgraded.engine.dispose()
    with store.read() as connection:
        indexes = {index["name"] for index in sa.inspect(connection).get_indexes("trials")}
    assert "trials_study_id_key" in indexes
    if store.engine.dialect.name == "sqlite":
        file = store.engine.url.database
        assert sa.inspect(sa.create_engine(f"sqlite:///{file}.optuna-v3.0.0.d")).has_table("trials")


def test_newer_tables_are_refused(store):
    """The message names both versions and the command."""
    store.open_optuna_storage().engine.dispose()
    set_version(store, "v99.0.0.a")
    with pytest.raises(KerastudyError, match=r"newer Optuna \(version v99.0.0.a.*pip install --upgrade optuna"):
        store.open_optuna_storage()


def test_a_store_beside_an_optuna_storage_opens(postgresql):
    """A database that Optuna used before kerastudy did keeps its studies."""
    url = sa.make_url(postgresql).set(drivername="postgresql+psycopg2").render_as_string()
    first = optuna.storages.RDBStorage(url)
    optuna.create_study(storage=first, study_name="of-optuna")
    first.engine.dispose()
    with Store.open(postgresql) as store:
        storage = store.open_optuna_storage()
        assert [study.study_name for study in storage.get_all_studies()] == ["of-optuna"]
        storage.engine.dispose()
