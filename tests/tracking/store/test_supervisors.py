"""Processes that run studies, as all hosts see them."""

import sqlalchemy as sa

from tracking.store.processes import identify_process
from tracking.store.supervisors import Supervisors
from tracking.store.tables import supervisors


def age(store, id_, seconds):
    with store.write() as connection:
        older = sa.update(supervisors).where(supervisors.c.id == id_)
        connection.execute(older.values(seen_ms=supervisors.c.seen_ms - seconds * 1000))


def test_processes_are_listed_with_their_state(store):
    """One of this host is lost when it has died, one of another host after a minute without a sign of life."""
    table = Supervisors(store)
    here = table.register(identify_process(), "1.0", 2)
    dead = table.register(identify_process().replace(f"/{identify_process().split('/')[1]}/", "/999999999/"), "1.0", 2)
    there, silent = (table.register(f"{host}/1/2/3", "1.0", 4) for host in ("b", "c"))
    age(store, silent, 100)
    table.sign(there, "draining")
    states = {each.id: each.state for each in table.list()}
    assert states == {here: "ready", dead: "lost", there: "draining", silent: "lost"}
    assert {each.id: each.host for each in table.list()}[there] == "b"


def test_a_sign_of_life_is_by_the_clock_of_the_database(store):
    """After a sign the process is alive again; who was removed meanwhile is told."""
    table = Supervisors(store)
    id_ = table.register("b/1/2/3", "1.0", 1)
    age(store, id_, 100)
    assert table.sign(id_, "ready")
    assert [each.state for each in table.list()] == ["ready"]
    table.remove(id_)
    assert not table.sign(id_, "ready")


def test_who_was_lost_a_day_ago_is_forgotten(store):
    """Rows of hosts that were killed go with the next start of one."""
    table = Supervisors(store)
    age(store, table.register("b/1/2/3", "1.0", 1), 100_000)
    table.register("c/1/2/3", "1.0", 1)
    assert [each.host for each in table.list()] == ["c"]
