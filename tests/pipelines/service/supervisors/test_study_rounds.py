"""The queue as one host of several reads it."""

from __future__ import annotations

import platform

import pytest
import sqlalchemy as sa
from served import study_text

from pipelines.service.supervisors import study_rounds
from pipelines.service.supervisors.study_rounds import StudyRounds
from tracking.store.accounts import Identity
from tracking.store.database import Store
from tracking.store.processes import identify_process
from tracking.store.study_queue import StudyQueue
from tracking.store.submissions import Submissions
from tracking.store.tables import studies

ELSEWHERE = "host-b/17/12345/1"


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "home") as opened:
        for name in ("one", "two"):
            StudyQueue(opened).enqueue(name, study_text(name), name)
            with opened.write() as connection:
                Submissions(opened).put(name, Identity("a1", "ann", "submit"), 0, connection)
        yield opened


def read(rounds, ours=()):
    found = rounds.read(frozenset(ours), frozenset())
    return [each.study for each in found.waiting], [each.study for each in found.running], found.foreground


def expire(store, name):
    with store.write() as connection:
        connection.execute(sa.update(studies).where(studies.c.name == name).values(lease_expires_ms=1))


def test_a_study_of_another_host_runs(store):
    """It counts for fairness and quotas, takes no place here, and does not wait."""
    StudyQueue(store).claim("one", ELSEWHERE, 60.0)
    assert read(StudyRounds(store)) == (["two"], ["one"], 0)


def test_a_study_of_a_lost_host_waits_after_a_while(store, monkeypatch):
    """A lease that is over is watched first; one that is renewed meanwhile stays with its holder."""
    queue, rounds = StudyQueue(store), StudyRounds(store)
    lease = queue.claim("one", ELSEWHERE, 60.0)
    expire(store, "one")
    assert read(rounds) == (["two"], ["one"], 0)
    monkeypatch.setattr(study_rounds, "_OVERDUE_S", 0.0)
    assert read(rounds) == (["one", "two"], [], 0)
    queue.renew(lease)
    expire(store, "one")
    # Another lease than the one that was watched.
    assert read(rounds) == (["two"], ["one"], 0)


def test_a_foreground_run_takes_a_place_on_its_host(store):
    """`kerastudy run` uses this host's cores; that of another host, and submitted studies, do not."""
    queue, rounds = StudyQueue(store), StudyRounds(store)
    for name, owner in (("here", identify_process()), ("there", ELSEWHERE)):
        queue.enqueue(name, study_text(name), name)
        queue.claim(name, owner, 60.0)
        queue.set_state(name, "running")
    queue.claim("one", identify_process(), 60.0)
    assert read(rounds) == (["two"], ["one", "here", "there"], 1)
    assert queue.get("here").host == platform.node()
