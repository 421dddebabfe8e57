"""The database: durability, concurrent use, migrations, and errors when it cannot be opened."""

import errno
import hashlib
import sqlite3
import threading

import optuna
import pytest
import sqlalchemy as sa

from search_spaces.errors import KerastudyError
from tracking.outbox.records import ModelDisplaced
from tracking.store import database, upgrades
from tracking.store.database import BUSY_TIMEOUT_MS, FILE_NAME, SCHEMA_VERSION, Store, classify_store_error
from tracking.store.registered_names import find_registered_name
from tracking.store.study_queue import StudyQueue
from tracking.store.submissions import Submissions
from tracking.store.tokens import Tokens


def pragmas(connection):
    names = ("journal_mode", "synchronous", "busy_timeout")
    return [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]


def test_every_connection_waits_and_syncs(tmp_path):
    """Our connections and Optuna's use WAL, sync each commit fully, and wait for locks."""
    with Store.open(tmp_path) as store:
        storage = store.open_optuna_storage()
        with store.read() as ours, storage.engine.connect() as optunas:
            assert pragmas(ours) == pragmas(optunas) == ["wal", 2, BUSY_TIMEOUT_MS]
        storage.engine.dispose()


def test_a_home_may_have_any_name(tmp_path):
    """Braces, percent signs, question marks and blanks in the path mean nothing to us or to Optuna."""
    home = tmp_path / "a {home} 100%? #1"
    with Store.open(home) as store:
        storage = store.open_optuna_storage()
        optuna.create_study(storage=storage, study_name="s")
        assert [study.study_name for study in storage.get_all_studies()] == ["s"]
        storage.engine.dispose()
    assert (home / FILE_NAME).is_file()


def test_identity_stays(tmp_path):
    """A store keeps its identity; another store has another."""
    with Store.open(tmp_path / "a") as first, Store.open(tmp_path / "a") as again, Store.open(tmp_path / "b") as other:
        assert first.identity == again.identity != other.identity


def test_many_can_create_it_at_once(tmp_path):
    """Processes that open a fresh home at the same time all succeed and agree."""
    barrier, identities, problems = threading.Barrier(4), [], []

    def open_it():
        barrier.wait()
        try:
            with Store.open(tmp_path / "home") as store:
                storage = store.open_optuna_storage()
                identities.append(store.identity)
                storage.engine.dispose()
        except Exception as error:
            problems.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    assert len(identities) == 4
    assert len(set(identities)) == 1


def test_a_newer_store_is_refused(tmp_path):
    """A database of a newer version is not touched; the message advises an upgrade."""
    Store.open(tmp_path).close()
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute("UPDATE kerastudy_about SET value = '99' WHERE key = 'schema_version'")
    connection.close()
    with pytest.raises(KerastudyError, match=r"newer kerastudy \(schema 99.*upgrade"):
        Store.open(tmp_path)


def test_a_store_from_before_the_first_release_is_refused(tmp_path):
    """A database without a way to this schema is not touched; the message names both versions."""
    Store.open(tmp_path).close()
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute("UPDATE kerastudy_about SET value = '5' WHERE key = 'schema_version'")
    connection.close()
    with pytest.raises(KerastudyError, match=r"before the first release .*schema 5.*choose another home"):
        Store.open(tmp_path)


def test_an_older_store_is_migrated(tmp_path, monkeypatch):
    """A database of an older version gets each later version's changes once, in order, and keeps its studies."""
    with Store.open(tmp_path) as store:
        StudyQueue(store).enqueue("digits", "study: digits", "d1")
    later = {
        SCHEMA_VERSION + 1: ("ALTER TABLE kerastudy_studies ADD COLUMN note VARCHAR(10)",),
        SCHEMA_VERSION + 2: ("UPDATE kerastudy_studies SET note = 'old'",),
    }
    monkeypatch.setattr(upgrades, "UPGRADES", later)
    monkeypatch.setattr(database, "SCHEMA_VERSION", SCHEMA_VERSION + 2)
    for _ in range(2):
        with Store.open(tmp_path) as store, store.read() as connection:
            assert connection.scalar(sa.text("SELECT note FROM kerastudy_studies")) == "old"
            assert StudyQueue(store).find("digits").document == "study: digits"


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "full"),
        (OSError(errno.EACCES, "Permission denied"), None),
        (sa.exc.OperationalError("", {}, Exception("database or disk is full")), "full"),
        (sa.exc.OperationalError("", {}, Exception("could not extend file: No space left on device")), "full"),
        (sa.exc.OperationalError("", {}, Exception("server closed the connection unexpectedly")), "unreachable"),
        (sa.exc.InterfaceError("", {}, Exception("connection already closed")), "unreachable"),
        (ValueError("disk is full"), None),
    ],
)
def test_errors_of_the_store_are_classified(tmp_path, error, trouble):
    """A full disk, an unreachable database and a defect are different; a wrapped cause counts too."""
    assert classify_store_error(error, tmp_path) == trouble
    wrapped = RuntimeError("while something was written")
    wrapped.__cause__ = error
    assert classify_store_error(wrapped, tmp_path) == trouble


def test_a_file_that_is_no_database_is_named(tmp_path):
    """What cannot be opened is named, with the cause and no traceback of a library."""
    (tmp_path / FILE_NAME).write_text("this is not a database, whatever its name says\n" * 100)
    with pytest.raises(KerastudyError, match=r"cannot open the store .*kerastudy\.db: file is not a database"):
        Store.open(tmp_path)


def test_a_home_that_is_a_file_is_named(tmp_path):
    """A home that cannot be a folder is a clear error."""
    (tmp_path / "home").write_text("")
    with pytest.raises(KerastudyError, match="cannot create the home"):
        Store.open(tmp_path / "home")


@pytest.mark.parametrize("url", ["nosuch://host/name", "://", "postgresql://127.0.0.1:1/none"])
def test_an_address_that_leads_nowhere_is_named(url):
    """An unknown, broken or unreachable database address is a clear error."""
    with pytest.raises(KerastudyError, match="store"):
        Store.open(url)


def test_a_password_is_not_shown():
    """Errors never print the password of a database URL."""
    with pytest.raises(KerastudyError) as caught:
        Store.open("nosuch://me:hunter2@host/name")
    assert "hunter2" not in str(caught.value)


def test_a_transaction_is_whole(store):
    """What fails within a transaction leaves nothing of it, rows for MLflow included."""
    from tracking.outbox.outbox import Outbox

    queue, outbox = StudyQueue(store), Outbox(store)
    queue.enqueue("s", "text", "digest")

    def write_and_fail():
        with store.write() as connection:
            queue.set_state("s", "running", connection=connection)
            outbox.add([ModelDisplaced("s", 1)], connection)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_and_fail()
    assert queue.get("s").state == "queued"
    assert outbox.count_pending() == 0


def test_optuna_works_in_the_same_database(store):
    """Optuna's trials are where our tables are, whatever the database."""
    storage = store.open_optuna_storage()
    study = optuna.create_study(storage=storage, study_name="s")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    storage.engine.dispose()
    with store.read() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM trials")) == 2


VERSION_6 = """
CREATE TABLE kerastudy_about ("key" VARCHAR(40) PRIMARY KEY, value TEXT NOT NULL);
INSERT INTO kerastudy_about VALUES ('schema_version', '6'), ('identity', 'abc');
CREATE TABLE kerastudy_studies (name VARCHAR(100) PRIMARY KEY, document TEXT NOT NULL, digest TEXT NOT NULL,
    folder TEXT NOT NULL, state VARCHAR(20) NOT NULL, reason TEXT NOT NULL, created_ms BIGINT NOT NULL,
    elapsed_s FLOAT NOT NULL, lease_owner TEXT, lease_token VARCHAR(40), lease_renewals BIGINT NOT NULL,
    winner INTEGER, best_value FLOAT, counts TEXT NOT NULL, control_request VARCHAR(10));
CREATE TABLE kerastudy_tokens (name VARCHAR(100) PRIMARY KEY, handle VARCHAR(16) NOT NULL UNIQUE,
    digest VARCHAR(64) NOT NULL, scope VARCHAR(10) NOT NULL, running_trials INTEGER, created_ms BIGINT NOT NULL);
INSERT INTO kerastudy_tokens VALUES ('ann', '0123456789ab', '{digest}', 'submit', 4, 7);
CREATE TABLE kerastudy_submissions (study VARCHAR(100) PRIMARY KEY, submitter VARCHAR(100) NOT NULL,
    priority INTEGER NOT NULL, submitted_ms BIGINT NOT NULL, started_ms BIGINT, trials_at_once INTEGER,
    notified_bytes BIGINT NOT NULL);
INSERT INTO kerastudy_submissions VALUES ('s', 'ann', 0, 1, NULL, NULL, 0), ('t', 'gone', 0, 2, NULL, NULL, 0);
CREATE TABLE kerastudy_requests (submitter VARCHAR(100), "key" VARCHAR(200), digest VARCHAR(64) NOT NULL,
    study VARCHAR(100) NOT NULL, created_ms BIGINT NOT NULL, PRIMARY KEY (submitter, "key"));
INSERT INTO kerastudy_requests VALUES ('ann', 'k', 'd', 's', 1), ('gone', 'k', 'd', 't', 1);
CREATE TABLE kerastudy_registered_names (name VARCHAR(100) PRIMARY KEY, study VARCHAR(100) NOT NULL);
INSERT INTO kerastudy_registered_names VALUES ('wine', 's'), ('run-by-operator', 'u');
"""


def test_holders_of_tokens_become_accounts(tmp_path):
    """Of a store of version 6, tokens stay valid, and their holders own by id what they owned by name."""
    secret = "A" * 43
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.executescript(VERSION_6.format(digest=hashlib.sha256(secret.encode()).hexdigest()))
    connection.close()
    with Store.open(tmp_path) as store:
        ann = Tokens(store).check(f"ks_0123456789ab_{secret}")
        assert (ann.name, ann.scope, ann.running_trials) == ("ann", "submit", 4)
        submissions = Submissions(store)
        assert submissions.find("s").submitter_id == ann.id
        assert submissions.find("t").submitter_id == "local:gone"
        with store.write() as connection:
            assert submissions.find_request(ann.id, "k", connection).study == "s"
            assert find_registered_name(connection, "wine").owner_id == ann.id
            assert find_registered_name(connection, "run-by-operator").owner_id == ""
