"""The schema: migrations on both databases, one at a time, and what is refused."""

import hashlib
import importlib
import threading

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from search_spaces.errors import KerastudyError
from tracking.store import schema, upgrade_guard
from tracking.store.connections import FILE_NAME
from tracking.store.database import Store
from tracking.store.processes import identify_process
from tracking.store.registered_names import find_registered_name
from tracking.store.submissions import Submissions
from tracking.store.tables import SCHEMA_VERSION, metadata
from tracking.store.tokens import Tokens

VERSIONS = range(schema.OLDEST_VERSION, SCHEMA_VERSION + 1)
SECRET = "A" * 43
COLUMNS = """
name, document, digest, folder, state, reason, created_ms, elapsed_s, lease_owner, lease_token, lease_renewals, counts
"""
OLD_ROWS = (
    "INSERT INTO kerastudy_tokens VALUES ('ann', '0123456789ab', '{digest}', 'submit', 4, 7)",
    "INSERT INTO kerastudy_submissions VALUES ('s', 'ann', 0, 1, NULL, NULL, 0), ('t', 'gone', 0, 2, NULL, NULL, 0)",
    "INSERT INTO kerastudy_requests VALUES ('ann', 'k', 'd', 's', 1), ('gone', 'k', 'd', 't', 1)",
    "INSERT INTO kerastudy_registered_names VALUES ('wine', 's'), ('run-by-operator', 'u')",
)


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request, tmp_path):
    """The address of a database without a table, of either kind."""
    return str(tmp_path / "home") if request.param == "sqlite" else request.getfixturevalue("postgresql")


def write(address, *statements):
    """Run statements on a store of this schema, past all checks."""
    with Store.open(address) as store, store.write() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))


def empty(address):
    """Return the address's store with every table of ours dropped."""
    store = Store.open(address)
    with store.write() as connection:
        metadata.drop_all(connection)
        connection.execute(sa.text(f"DROP TABLE {schema.VERSION_TABLE}"))
    return store


def write_old_store(address, version):
    """Bring an empty database to an old version, without Alembic's table, as old versions had it."""
    with empty(address) as store, store.write() as connection:
        connection.execute(
            sa.text("CREATE TABLE kerastudy_about (key VARCHAR(40) NOT NULL PRIMARY KEY, value TEXT NOT NULL)")
        )
        connection.execute(sa.text("INSERT INTO kerastudy_about VALUES ('schema_version', '0'), ('identity', 'abc')"))
        schema.upgrade(connection, 0, schema.OLDEST_VERSION)
        digest = hashlib.sha256(SECRET.encode()).hexdigest()
        for statement in OLD_ROWS:
            connection.execute(sa.text(statement.format(digest=digest)))
        schema.upgrade(connection, schema.OLDEST_VERSION, version)
        if version <= 7:
            connection.execute(sa.text(f"DROP TABLE {schema.VERSION_TABLE}"))


def find_differences(store):
    with store.read() as connection:
        options = {"include_object": schema.is_ours, "compare_type": True, "compare_server_default": True}
        return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)


@pytest.mark.parametrize("version", [0, *VERSIONS])
def test_migrations_lead_to_the_tables_of_this_version(address, version):
    """Alembic finds nothing to change in a new store, nor in one of any earlier version after its migrations."""
    if version:
        write_old_store(address, version)
    with Store.open(address) as store:
        assert find_differences(store) == []
        with store.read() as connection:
            assert schema.read_version(connection) == SCHEMA_VERSION
            stored = "SELECT value FROM kerastudy_about WHERE key = 'schema_version'"
            assert connection.scalar(sa.text(stored)) == str(SCHEMA_VERSION)


def test_each_version_is_one_migration():
    """Revisions are numbers without a gap, named after their files, and the last one is the schema's version."""
    found = {}
    for file in sorted((schema.MIGRATIONS / "versions").glob("v*.py")):
        module = importlib.import_module(f"tracking.store.migrations.versions.{file.stem}")
        found[module.revision] = module.down_revision
        assert file.name.startswith(f"v{module.revision}_")
    names = [schema.format_revision(version) for version in VERSIONS]
    assert found == dict(zip(names, [None, *names[:-1]], strict=True))
    assert ScriptDirectory(str(schema.MIGRATIONS)).get_current_head() == names[-1]


def test_a_table_that_came_without_a_version_is_created(address):
    """Before Alembic, new tables came without a new version: a store of schema 7 may lack some."""
    write_old_store(address, 7)
    engine = sa.create_engine(
        address.replace("://", "+psycopg2://") if "://" in address else f"sqlite:///{address}/{FILE_NAME}"
    )
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE kerastudy_deletions"))
    engine.dispose()
    with Store.open(address) as store:
        assert find_differences(store) == []


def test_one_process_upgrades(address):
    """Of several that open an old store at once, one runs the migrations; all open it."""
    write_old_store(address, schema.OLDEST_VERSION)
    barrier, identities, problems = threading.Barrier(4), [], []

    def open_it():
        barrier.wait()
        try:
            with Store.open(address) as store:
                identities.append(store.identity)
        except Exception as error:
            problems.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert identities == ["abc"] * 4


@pytest.mark.parametrize("holder", ["here", "elsewhere", "gone"])
def test_a_store_in_use_is_not_upgraded(address, holder, monkeypatch):
    """While an older version works on a study its tables stay; a holder elsewhere that renews nothing is gone."""
    monkeypatch.setattr(upgrade_guard, "_WATCH_S", 0.5)
    write_old_store(address, 7)
    owner = identify_process() if holder == "here" else "host-b/1/2/3"
    engine = sa.create_engine(
        address.replace("://", "+psycopg2://") if "://" in address else f"sqlite:///{address}/{FILE_NAME}"
    )

    def renew():
        with engine.begin() as connection:
            connection.execute(sa.text("UPDATE kerastudy_studies SET lease_renewals = lease_renewals + 1"))

    with engine.begin() as connection:
        row = f"'s', '', 'd', '.', 'running', '', 1, 0, '{owner}', 'token', 0, '{{}}'"
        connection.execute(sa.text(f"INSERT INTO kerastudy_studies ({COLUMNS}) VALUES ({row})"))
    if holder == "gone":
        Store.open(address).close()
    else:
        renewing = threading.Timer(0.2, renew)
        renewing.start()
        with pytest.raises(KerastudyError, match=r"older kerastudy works on it: process .*nothing was changed"):
            Store.open(address)
        renewing.join()
        with engine.connect() as connection:
            assert schema.read_version(connection) == 7
    engine.dispose()


def test_a_newer_store_is_refused(address):
    """A database of a newer version is not touched; the message advises an upgrade."""
    write(address, f"UPDATE {schema.VERSION_TABLE} SET version_num = '0099'")
    with pytest.raises(KerastudyError, match=r"newer kerastudy \(schema 99.*upgrade"):
        Store.open(address)


def test_a_store_from_before_the_first_release_is_refused(address):
    """A database without a way to this schema is not touched; the message names both versions."""
    write(address, f"DROP TABLE {schema.VERSION_TABLE}", "UPDATE kerastudy_about SET value = '5' WHERE key LIKE 'sch%'")
    with pytest.raises(KerastudyError, match=r"before the first release .*schema 5.*choose another home"):
        Store.open(address)


def test_holders_of_tokens_become_accounts(address):
    """Of a store of version 6, tokens stay valid, and their holders own by id what they owned by name."""
    write_old_store(address, schema.OLDEST_VERSION)
    with Store.open(address) as store:
        ann = Tokens(store).check(f"ks_0123456789ab_{SECRET}")
        assert (ann.name, ann.scope, ann.running_trials) == ("ann", "submit", 4)
        submissions = Submissions(store)
        assert submissions.find("s").submitter_id == ann.id
        assert submissions.find("t").submitter_id == "local:gone"
        with store.write() as connection:
            assert submissions.find_request(ann.id, "k", connection).study == "s"
            assert find_registered_name(connection, "wine").owner_id == ann.id
            assert find_registered_name(connection, "run-by-operator").owner_id == ""
