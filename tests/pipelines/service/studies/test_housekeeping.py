"""Housekeeping of a service: deletions that were cut off, and the rules once a day."""

from __future__ import annotations

import os
import time

import pytest

from pipelines.service.studies.housekeeping import Housekeeper
from pipelines.spec.home_rules import RetentionSpec
from tracking.store.deletions import Deletions
from tracking.store.study_queue import StudyQueue


@pytest.fixture
def housekeeper(home, store):
    """Housekeeper of a home that holds the study `s`."""
    return Housekeeper(home, store, RetentionSpec())


def test_a_deletion_that_was_cut_off_is_completed(housekeeper, home, store):
    """The next step of the service completes it."""
    with store.write() as connection:
        Deletions(store).add("s", connection, with_promoted=False)
        StudyQueue(store).set_state("s", "deleting", connection=connection)
    housekeeper.step()
    assert StudyQueue(store).find("s") is None
    assert not home.locate_study("s").exists()


def test_what_is_idle_ends_with_each_step(home, store):
    """The service's kept processes are looked at every minute."""
    calls = []
    Housekeeper(home, store, RetentionSpec(), end_idle=lambda: calls.append(1)).step()
    assert calls == [1]


def test_the_rules_run_once_a_day(housekeeper, home):
    """The time of the last run is a file's, so that a service that is restarted every day runs them too."""

    def make_orphan():
        folder = home.locate_study("gone")
        folder.mkdir()
        os.utime(folder, (0, 0))
        return folder

    orphan = make_orphan()
    housekeeper.step()
    assert not orphan.exists()
    orphan = make_orphan()
    housekeeper.step()
    assert orphan.exists()
    yesterday = time.time() - 86_401
    os.utime(home.folder / "gc.last", (yesterday, yesterday))
    housekeeper.step()
    assert not orphan.exists()
