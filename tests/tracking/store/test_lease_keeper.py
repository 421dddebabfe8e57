"""Leases of one process: claimed, renewed when due, lost and released."""

import pytest

from tracking.store import lease_keeper
from tracking.store.lease_keeper import LeaseKeeper
from tracking.store.study_queue import LeaseLostError, StudyQueue


@pytest.fixture
def queue(store):
    queue = StudyQueue(store)
    for name in ("a", "b"):
        queue.enqueue(name, "study: it", name)
    return queue


def test_leases_are_renewed_when_due(store, queue, monkeypatch):
    """Nothing is renewed before its time; a renewal keeps all leases valid."""
    keeper = LeaseKeeper(store)
    keeper.claim("a")
    keeper.claim("b")
    assert not keeper.renew_if_due()
    monkeypatch.setattr(lease_keeper, "RENEW_EVERY_S", -1.0)
    assert keeper.renew_if_due()
    assert keeper.is_held()


def test_a_lost_lease_is_found(store, queue, monkeypatch):
    """When another process takes one of the studies, no lease counts as held, and a renewal fails."""
    monkeypatch.setattr(lease_keeper, "RENEW_EVERY_S", -1.0)
    keeper = LeaseKeeper(store)
    keeper.claim("a")
    keeper.claim("b")
    keeper.release()
    other = LeaseKeeper(store)
    other.claim("b")
    assert not keeper.is_held()
    with pytest.raises(LeaseLostError):
        keeper.renew_if_due()
    assert other.is_held()
