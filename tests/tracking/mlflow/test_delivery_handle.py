"""Delivery to MLflow in another process: nothing lost, nothing twice, whatever is killed."""

import logging
import os
import signal
import subprocess
import sys
import time
from contextlib import closing

import mlflow
import psutil
import pytest

from tracking.mlflow import delivery_handle, urls
from tracking.mlflow.delivery_handle import DeliveryHandle
from tracking.outbox.outbox import Backlog, Outbox
from tracking.store.database import Store
from tracking.store.lease_keeper import LeaseKeeper
from tracking.store.study_queue import StudyQueue

SUPERVISOR = """
import sys, time
from pathlib import Path
from tracking.mlflow.delivery_handle import DeliveryHandle
from tracking.store.database import Store
home = Path(sys.argv[1])
delivery = DeliveryHandle(home, {}, Store.open(home), str(home), "s", lambda: "none")
delivery.start()
while delivery._process is None:
    time.sleep(0.01)
print(delivery._process.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def store(home):
    with closing(Store.open(home)) as opened:
        yield opened


@pytest.fixture
def leases(store):
    """The lease on the study "s"."""
    StudyQueue(store).enqueue("s", "", "digest")
    keeper = LeaseKeeper(store)
    keeper.claim("s")
    return keeper


def make_handle(home, store, leases, environ=None):
    return DeliveryHandle(home, environ or {}, store, str(home), "s", lambda: leases.token)


def wait_until(condition, timeout_s=60):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


def find_pid(running, former=None):
    wait_until(lambda: running._process is not None and running._process.pid != former)
    return running._process.pid


@pytest.mark.long
def test_a_process_that_is_killed_is_started_again(home, store, leases, a_study, caplog):
    """A killed delivery costs no row and makes no second run; the log states it, and the flush waits for the rest."""
    Outbox(store).add(a_study("s"))
    running = make_handle(home, store, leases)
    with caplog.at_level(logging.WARNING):
        running.start()
        os.kill(killed := find_pid(running), signal.SIGKILL)
        last = find_pid(running, former=killed)
        assert running.stop(120) == Backlog(0, 0, "")
    assert "starts again" in caplog.text
    assert (running.last_error, running.is_away) == ("", False)
    assert not psutil.pid_exists(last)
    assert running.stop(0.0) == Backlog(0, 0, "")
    client = mlflow.MlflowClient(urls.make_home_tracking_uri(home))
    (experiment,) = client.search_experiments(filter_string="name = 's-experiment'")
    assert len(client.search_runs([experiment.experiment_id])) == 5


@pytest.mark.long
def test_an_outage_is_known_here_and_its_flush_can_be_cut_short(home, store, leases, a_study):
    """The process reports that MLflow is away; `hurry` ends the flush, and the rows stay."""
    records = a_study("s")
    Outbox(store).add(records)
    running = make_handle(home, store, leases, {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"})
    running.start()
    wait_until(lambda: running.is_away)
    assert "refused" in running.last_error
    running.hurry()
    began = time.monotonic()
    assert running.stop(1000).pending == len(records)
    assert time.monotonic() - began < 500


@pytest.mark.long
def test_a_lost_lease_ends_the_delivery(home, store, leases, a_study):
    """Once another process holds the study, this one's delivery sends nothing and changes no row."""
    records = a_study("s")
    Outbox(store).add(records)
    lost = leases.pass_on()
    LeaseKeeper(store).claim("s", lost)
    running = DeliveryHandle(home, {}, store, str(home), "s", lambda: lost)
    running.start()
    wait_until(lambda: running.last_error)
    assert "another process" in running.last_error
    assert running.stop(20) == Backlog(len(records), 0, "")


def test_the_process_ends_with_its_supervisor(home):
    """Nothing delivers any more once the supervisor was killed, and the signals of its terminal end nothing."""
    with subprocess.Popen([sys.executable, "-c", SUPERVISOR, str(home)], stdout=subprocess.PIPE) as supervisor:
        process = psutil.Process(int(supervisor.stdout.readline()))
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        assert process.is_running()
        supervisor.kill()
    wait_until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)


def test_a_study_without_results_starts_no_process(home, store, leases, a_study, monkeypatch):
    """Within the time of `start` nothing is loaded, and a stop without a flush loads nothing either."""
    monkeypatch.setattr(delivery_handle, "_start_process", lambda: pytest.fail("started"))
    Outbox(store).add(a_study("s"))
    running = make_handle(home, store, leases)
    assert running.stop(0.0).pending == len(a_study("s"))
    running.start(1000)
    assert running.stop(0.0).pending == len(a_study("s"))


def test_a_system_without_room_for_a_process_is_tried_again(home, store, leases, a_study, monkeypatch):
    """A process that cannot start is an error of the delivery, not of the study."""
    failures = []

    def fail():
        failures.append(1)
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(delivery_handle, "_start_process", fail)
    Outbox(store).add(a_study("s"))
    running = make_handle(home, store, leases)
    running.start()
    wait_until(lambda: len(failures) > 1)
    assert "Resource temporarily unavailable" in running.last_error
    assert running.stop(0.1).pending == len(a_study("s"))
