"""The database: durability, concurrent use, and errors when it cannot be opened."""

import errno
import threading

import optuna
import pytest
import sqlalchemy as sa

from search_spaces.errors import KerastudyError
from tracking.outbox.records import ModelDisplaced
from tracking.store.connections import BUSY_TIMEOUT_MS, FILE_NAME
from tracking.store.database import Store, classify_store_error
from tracking.store.study_queue import StudyQueue


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
