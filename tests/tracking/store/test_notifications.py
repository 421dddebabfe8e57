"""Notifications are rows, and each receiver is a position among them."""

from __future__ import annotations

import pytest

from tracking.store.database import Store
from tracking.store.notifications import Notifications


@pytest.fixture
def table(tmp_path):
    with Store.open(tmp_path) as store:
        yield Notifications(store)


def add(table, *kinds):
    table.add("s", [(kind, {"n": number}) for number, kind in enumerate(kinds)], 10)


def take_all(table, receiver):
    taken = []
    while (found := table.find_next(receiver)) is not None:
        taken.append(found.kind)
        table.record_taken(receiver, found.id)
    return taken


def test_each_receiver_has_its_position(table):
    """What one has taken, others still get; a row that all have is deleted."""
    table.set_receivers(["a", "b"])
    add(table, "finished", "failed")
    assert take_all(table, "a") == ["finished", "failed"]
    assert table.count_waiting() == 2
    assert table.find_next("b").content == {"n": 0}
    assert take_all(table, "b") == ["finished", "failed"]
    assert table.count_waiting() == 0


def test_a_new_receiver_begins_at_the_newest_row(table):
    """Others keep their place; a former one is forgotten with its backlog, and begins anew when it comes again."""
    table.set_receivers(["a"])
    add(table, "finished")
    table.set_receivers(["a", "b"])
    assert table.find_next("b") is None
    assert table.find_next("a") is not None
    table.set_receivers(["b"])
    assert table.count_waiting() == 0
    table.set_receivers(["a", "b"])
    assert table.find_next("a") is None
    add(table, "failed")
    assert take_all(table, "a") == take_all(table, "b") == ["failed"]


def test_an_unknown_receiver_gets_nothing(table):
    """Before it is known, no row is its own."""
    table.set_receivers(["a"])
    add(table, "finished")
    assert table.find_next("b") is None


def test_the_newest_of_too_many_stay(table):
    """The number that were passed over is returned."""
    table.set_receivers(["a"])
    add(table, "one", "two", "three")
    assert table.drop_oldest("a", 3) == 0
    assert table.drop_oldest("a", 1) == 2
    assert take_all(table, "a") == ["three"]


def test_whether_there_are_receivers_outlives_the_process(table):
    """A service that starts stores what its predecessor left only if somebody waits for it."""
    assert not table.has_receivers()
    table.set_receivers(["a"])
    assert table.has_receivers()
    table.set_receivers([])
    assert not table.has_receivers()
