"""Connections: how many a process holds, what it waits for, and what a cut line or a full server does."""

import threading
import time

import optuna
import pytest
import sqlalchemy as sa
from tcp_proxy import TcpProxy

from search_spaces.errors import InputError, KerastudyError
from tracking.store.connections import parse_address
from tracking.store.database import Store
from tracking.store.study_queue import StudyQueue


@pytest.fixture
def proxied(postgresql):
    """An empty database behind a proxy: the proxy, and the URL through it."""
    url = sa.make_url(postgresql)
    with TcpProxy(url.port) as proxy:
        yield proxy, f"postgresql://{url.username}@127.0.0.1:{proxy.port}/{url.database}"


def test_keys_of_the_address_are_read():
    """Kerastudy's keys leave the query, the driver's stay."""
    address = parse_address("postgresql://me@host/name?connections=9&patience=3&sslmode=require")
    assert (address.connections, address.patience_s) == (9, 3)
    assert address.url.query == {"sslmode": "require"}


@pytest.mark.parametrize("query", ["connections=0", "connections=many", "patience=-1", "connections=2&connections=3"])
def test_impossible_keys_are_refused(query):
    """A size that cannot be is an error with the key and an example."""
    with pytest.raises(InputError, match=r"expected a whole number from .*postgresql://user@host/name\?"):
        parse_address(f"postgresql://me@host/name?{query}")


def test_a_process_holds_no_more_connections_than_allowed(postgresql):
    """Threads that need more wait for one another; unused connections above two are closed."""
    with Store.open(f"{postgresql}?connections=3") as store:
        seen, barrier = [], threading.Barrier(8)

        def query():
            barrier.wait()
            with store.read() as connection:
                connection.execute(sa.text("SELECT pg_sleep(0.05)"))
                seen.append(connection.scalar(sa.text(_COUNTING)))

        threads = [threading.Thread(target=query) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(seen) == 8
        assert max(seen) == 3
        assert store.engine.pool.checkedin() <= 2


def test_a_line_that_was_cut_is_replaced(proxied):
    """Connections that broke while they were idle are replaced, and the store waits for a server that is away."""
    proxy, url = proxied
    with Store.open(url) as store:
        queue, storage = StudyQueue(store), store.open_optuna_storage()
        queue.enqueue("s", "text", "digest")
        proxy.cut()
        threading.Timer(0.7, proxy.mend).start()
        began = time.monotonic()
        queue.set_state("s", "running")
        assert time.monotonic() - began > 0.3
        assert queue.get("s").state == "running"
        optuna.create_study(storage=storage, study_name="s")
        storage.engine.dispose()


def test_a_read_is_repeated_where_its_line_was_cut(proxied):
    """Reads that happen all the time go on over a restart; an error of the query itself is raised."""
    proxy, url = proxied
    with Store.open(url) as store:
        calls = []

        def read(connection):
            calls.append(connection.scalar(sa.text("SELECT 1")))
            if len(calls) == 1:
                proxy.cut()
                proxy.mend()
            return connection.scalar(sa.text("SELECT 2"))

        assert store.query(read) == 2
        assert calls == [1, 1]
        with pytest.raises(sa.exc.ProgrammingError):
            store.query(lambda connection: connection.execute(sa.text("SELECT nonsense FROM nowhere")))


def test_patience_ends(proxied):
    """A server that stays away is an error, after the seconds that the address allows."""
    proxy, url = proxied
    with Store.open(f"{url}?patience=1") as store:
        proxy.cut()
        with pytest.raises(sa.exc.OperationalError):
            StudyQueue(store).list()


def test_what_stays_refused_is_reported_at_once(postgresql_server):
    """An unknown database is no matter of patience."""
    with pytest.raises(KerastudyError, match="does not exist"):
        Store.open(f"{postgresql_server}/no_such_database", patience_s=300)


def test_a_full_server_is_waited_for(postgresql):
    """Where the server has no connection left, connecting is tried again; the error at the end names both keys."""
    url = sa.make_url(postgresql)
    admin = sa.create_engine(url.set(drivername="postgresql+psycopg2"), isolation_level="AUTOCOMMIT")
    Store.open(postgresql).close()
    with admin.connect() as connection:
        connection.execute(sa.text("CREATE ROLE narrow LOGIN CONNECTION LIMIT 1"))
        connection.execute(sa.text("GRANT ALL ON ALL TABLES IN SCHEMA public TO narrow"))
    narrow = url.set(username="narrow").render_as_string()
    try:
        with Store.open(narrow) as first, first.read() as held:
            held.execute(sa.text("SELECT 1"))
            with pytest.raises(KerastudyError, match=r"too many connections.*max_connections.*connections=N"):
                Store.open(narrow)
            threading.Timer(0.5, held.invalidate).start()
            Store.open(narrow, patience_s=30).close()
    finally:
        with admin.connect() as connection:
            connection.execute(sa.text("DROP OWNED BY narrow"))
            connection.execute(sa.text("DROP ROLE narrow"))
        admin.dispose()


def test_a_transaction_that_waits_is_ended_by_the_server(postgresql):
    """A process that was suspended within a transaction does not lock a study for ever."""
    with Store.open(postgresql) as store, store.read() as connection:
        shown = [connection.scalar(sa.text(f"SHOW {name}")) for name in _LIMITS]
    assert shown == ["30s", "1min"]


_COUNTING = """
SELECT count(*) FROM pg_stat_activity WHERE application_name = 'kerastudy' AND datname = current_database()
"""
_LIMITS = ("lock_timeout", "idle_in_transaction_session_timeout")
