"""A host without a service: what it needs to share, and what it does at SIGTERM."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
from served import study_text

from pipelines.service.config import ServiceSpec, StudyLimits
from pipelines.service.supervisors import supervisor_pool
from pipelines.service.supervisors.supervising_host import run_host
from pipelines.service.supervisors.supervisor_pool import SupervisorPool
from pipelines.workspace.home import Home
from search_spaces.errors import InputError, KerastudyError
from tracking.store.accounts import Identity
from tracking.store.database import Store
from tracking.store.home_mark import check_home
from tracking.store.study_queue import StudyQueue
from tracking.store.submissions import Submissions
from tracking.store.supervisors import Supervisors


@pytest.fixture
def shared(postgresql, tmp_path, monkeypatch):
    """A home of a store on PostgreSQL, with an MLflow for all hosts."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    return Home(tmp_path / "home", postgresql)


def submit(store, *names):
    for name in names:
        StudyQueue(store).enqueue(name, study_text(name), name)
        with store.write() as connection:
            Submissions(store).put(name, Identity("a1", "ann", "submit"), 0, connection)


class NoProcess:
    """Handle of a process that does nothing."""

    has_ended = False

    def __init__(self, request):
        self.request = request

    def terminate(self):
        pass

    def wait(self, timeout_s):
        return True

    def close(self):
        pass


def test_a_file_cannot_be_shared(tmp_path, shared, monkeypatch):
    """Neither the store nor MLflow may be a file of the home; the message has the variable to set."""
    with pytest.raises(InputError, match=r"database server.*KERASTUDY_STORE=postgresql://"):
        run_host(Home(tmp_path, str(tmp_path)), ServiceSpec(), print)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with pytest.raises(InputError, match="MLFLOW_TRACKING_URI=http"):
        run_host(shared, ServiceSpec(), print)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    with pytest.raises(InputError, match="--studies 1"):
        run_host(shared, ServiceSpec(studies=0), print)


def test_a_host_without_the_shared_storage_is_refused(shared, tmp_path):
    """It starts nothing and writes nothing."""
    with Store.open(shared.store) as store:
        check_home(store, tmp_path / "shared", is_shared=False)
    with pytest.raises(KerastudyError, match="is not the home of the store"):
        run_host(shared, ServiceSpec(), print)
    assert not (shared.folder / "studies").exists()


def test_a_host_is_shown_and_leaves_at_sigterm(shared):
    """Its row is there while it runs, and gone afterwards."""
    printed, seen = [], []

    def end():
        deadline = time.monotonic() + 120
        with Store.open(shared.store) as store:
            while not (rows := Supervisors(store).list()) and time.monotonic() < deadline:
                time.sleep(0.05)
        seen.extend((row.state, row.studies) for row in rows)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=end)
    thread.start()
    run_host(shared, ServiceSpec(studies=3), printed.append)
    thread.join()
    assert seen == [("ready", 3)]
    assert "runs up to 3 studies" in printed[0]
    with Store.open(shared.store) as store:
        assert Supervisors(store).list() == ()


def test_hosts_divide_a_queue(shared, monkeypatch):
    """Pools of several hosts start each study once, each as many as it has room for."""
    monkeypatch.setattr(supervisor_pool, "SupervisorHandle", NoProcess)
    with Store.open(shared.store) as store:
        submit(store, *(f"s{number}" for number in range(7)))
        pools = [SupervisorPool(shared, store, room, StudyLimits()) for room in (1, 2, 3, 0)]
        barrier = threading.Barrier(len(pools))

        def work(pool):
            barrier.wait()
            # A host that was slower reads the queue again in its next round.
            for _ in range(20):
                pool.step()

        threads = [threading.Thread(target=work, args=(pool,)) for pool in pools]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        running = [pool.running for pool in pools]
        assert [len(each) for each in running] == [1, 2, 3, 0]
        assert len({name for each in running for name in each}) == 6
        assert pools[3].list_waiting() == ("s6",)


def test_a_quota_holds_over_all_hosts(shared, monkeypatch):
    """A submitter's trials at once are counted where they run."""
    monkeypatch.setattr(supervisor_pool, "SupervisorHandle", NoProcess)
    monkeypatch.setattr(SupervisorPool, "_read_quotas", lambda self: {"a1": 3})
    with Store.open(shared.store) as store:
        submit(store, "s0", "s1", "s2")
        pools = [SupervisorPool(shared, store, 2, StudyLimits()) for _ in range(2)]
        for pool in (*pools, *pools):
            pool.step()
        # Each may train any number: the first takes all three.
        assert [len(pool.running) for pool in pools] == [1, 0]
        assert Submissions(store).find(pools[0].running[0]).trials_at_once == 3
