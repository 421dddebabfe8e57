"""Optuna's tables of an older Optuna are upgraded in place, those of a newer one refused."""

import subprocess
import sys

import optuna
import pytest
import sqlalchemy as sa

from search_spaces.errors import KerastudyError
from tracking.store.database import Store
from tracking.store.optuna_storage import VERSIONS
from tracking.store.optuna_versions import find_newest_version


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


def test_a_new_store_has_the_tables_that_optuna_creates(store, tmp_path):
    """Tables, indexes, versions and the storage's attributes are those of Optuna's storage, without Alembic."""
    assert optuna.__version__ in VERSIONS, "compare RDBStorage.__init__ with TrialStorage's, and list the version"
    ours = store.open_optuna_storage()
    stock = optuna.storages.RDBStorage(f"sqlite:///{tmp_path / 'stock.db'}")
    assert find_newest_version() == stock.get_head_version() == ours.get_current_version()
    assert set(vars(stock)) - {"_version_manager"} == set(vars(ours)) - {"_version_manager"}
    names = sorted(sa.inspect(stock.engine).get_table_names())
    assert set(names) <= set(sa.inspect(ours.engine).get_table_names())
    if store.engine.dialect.name == "sqlite":
        assert list_statements(ours.engine, names) == list_statements(stock.engine, names)
    for table in ("version_info", "alembic_version"):
        with ours.engine.connect() as mine, stock.engine.connect() as theirs:
            assert (
                mine.execute(sa.text(f"SELECT * FROM {table}")).all()
                == theirs.execute(sa.text(f"SELECT * FROM {table}")).all()
            )
    ours.engine.dispose()


def list_statements(engine, tables):
    with engine.connect() as connection:
        known = connection.execute(sa.text("SELECT tbl_name, type, name, sql FROM sqlite_master ORDER BY type, name"))
        return [row for row in known if row.tbl_name in tables]


def test_a_creation_that_was_killed_is_completed(store):
    """Tables without their version, as a kill may leave them, get it from Optuna."""
    store.open_optuna_storage().engine.dispose()
    with store.write() as connection:
        connection.execute(sa.text("DROP TABLE alembic_version"))
    storage = store.open_optuna_storage()
    assert storage.get_current_version() == find_newest_version()
    storage.engine.dispose()


def test_a_store_opens_without_alembic(tmp_path):
    """Neither a new store nor one that is there loads Alembic, or what it loads."""
    code = (
        "import sys; from tracking.store.database import Store; store = Store.open(sys.argv[1]); "
        "store.open_optuna_storage(); sys.exit('alembic' in sys.modules)"
    )
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code, str(tmp_path / "home")], check=True)


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
