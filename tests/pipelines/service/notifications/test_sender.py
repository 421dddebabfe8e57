"""Notifications over real HTTP and real commands: in order, signed, tried again, each receiver by itself."""

from __future__ import annotations

import hashlib
import hmac
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from pipelines.service.config import NotifySpec
from pipelines.service.notifications import sender as notifications
from pipelines.service.notifications.receivers import SIGNATURE, name_receivers
from pipelines.service.notifications.sender import Delivery, Notifier
from pipelines.supervisor.event_log import record_events
from pipelines.supervisor.events import StudyEnded, TrialEnded
from pipelines.workspace.home import Home
from tracking.store.accounts import Identity
from tracking.store.database import Store
from tracking.store.notifications import Notifications
from tracking.store.study_queue import StudyQueue
from tracking.store.submissions import Submissions

BEST = TrialEnded(0, "complete", 0.5, "", 1.0, is_best=True)
SUBMITTER = (Identity("a1", "ann", "submit"),)
WORSE = TrialEnded(1, "complete", 0.9, "", 1.0, is_best=False)


@pytest.fixture
def log(caplog, monkeypatch):
    """What is logged, whatever earlier tests have imported that silences it."""
    monkeypatch.setattr(notifications._log, "disabled", False)
    monkeypatch.setattr(notifications._log, "propagate", True)
    caplog.set_level("INFO", logger=notifications._log.name)
    return caplog


def end(state="finished"):
    return StudyEnded("s", state, "why", "val_loss", 0, 0.5, {"loss": 0.6}, {"complete": 2}, 1.0, 0, "")


class Receiver:
    """Web server that keeps its requests and gives the answers that a test sets."""

    def __init__(self):
        self.got, self.answers, self.arrived = [], [], threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.got.append((dict(self.headers), body))
                self.send_response(outer.answers.pop(0) if outer.answers else 204)
                self.end_headers()
                outer.arrived.set()

            def log_message(self, *args):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def receiver():
    running = Receiver()
    yield running
    running.server.shutdown()
    running.server.server_close()


@pytest.fixture
def world(tmp_path):
    """A home with a submitted study, and its store."""
    home = Home.find(str(tmp_path), {})
    with Store.open(home.store) as store:
        with store.write() as connection:
            StudyQueue(store).enqueue("s", "study: s", "d", connection=connection)
            Submissions(store).put("s", *SUBMITTER, 0, connection)
        yield home, store


@pytest.fixture(autouse=True)
def _hurried(monkeypatch):
    monkeypatch.setattr(Delivery, "_sleep", lambda self, seconds: None)
    monkeypatch.setattr(notifications, "_STOP_S", 0.1)


def list_received(receiver):
    return [json.loads(body)["kind"] for _, body in receiver.got]


def happen(home, *events, study="s"):
    list(record_events(home, study, events))


def start(home, store, *specs):
    """Return a notifier as a service that starts has it, without its threads."""
    notifier = Notifier(home, store, specs)
    notifier.prepare()
    return notifier


def deliver(notifier):
    """Collect what has happened, and let each receiver take all of it."""
    notifier.collect()
    for delivery in notifier.deliveries:
        while delivery.deliver_next():
            pass


def test_each_is_delivered_once_in_order(world, receiver):
    """The chosen events and no others; a service that starts again sends none again."""
    home, store = world
    everything = NotifySpec(on=["finished", "failed", "new_best"], webhook=receiver.address)
    notifier = start(home, store, everything)
    happen(home, BEST, WORSE, end())
    deliver(notifier)
    deliver(notifier)
    notifier = start(home, store, everything)
    deliver(notifier)
    assert list_received(receiver) == ["new_best", "finished"]
    last = json.loads(receiver.got[-1][1])
    assert (last["study"], last["submitter"], last["winner"], last["test"]) == ("s", "ann", 0, {"loss": 0.6})
    happen(home, end("failed"), end("paused"), end("cancelled"))
    deliver(notifier)
    assert list_received(receiver)[2:] == ["failed"]
    assert len({json.loads(body)["id"] for _, body in receiver.got}) == 3


def test_notifications_begin_when_they_are_switched_on(world, receiver):
    """Nothing that happened before comes, whoever was a receiver then, and nothing comes twice."""
    home, store = world
    spec = NotifySpec(webhook=receiver.address)
    happen(home, end())
    deliver(start(home, store))
    notifier = start(home, store, spec)
    deliver(notifier)
    assert list_received(receiver) == []
    happen(home, end("failed"))
    deliver(notifier)
    assert list_received(receiver) == ["failed"]
    # Off and on again: a time without receivers is no backlog either.
    happen(home, end())
    deliver(start(home, store))
    happen(home, end())
    deliver(start(home, store, spec))
    assert list_received(receiver) == ["failed"]


def test_a_new_receiver_gets_no_backlog_of_others(world, receiver):
    """What waits for one receiver stays its alone, over restarts."""
    home, store = world
    away, here = NotifySpec(command=["/nowhere/x"]), NotifySpec(webhook=receiver.address)
    notifier = start(home, store, away)
    happen(home, end())
    notifier.collect()
    deliver_all = start(home, store, here, away)
    assert not deliver_all.deliveries[0].deliver_next()
    assert Notifications(store).count_waiting() == 1


def test_what_a_stopped_service_left_comes_after_the_next_start(world, receiver):
    """Events that no service has read yet are notifications for the receivers of before."""
    home, store = world
    spec = NotifySpec(webhook=receiver.address)
    start(home, store, spec)
    happen(home, end())
    deliver(start(home, store, spec))
    assert list_received(receiver) == ["finished"]


def test_a_study_submitted_with_its_past_brings_no_old_news(world, receiver):
    """A study of `kerastudy run` that is put into the queue starts its notifications there."""
    home, store = world
    notifier = start(home, store, NotifySpec(webhook=receiver.address))
    happen(home, end(), study="t")
    StudyQueue(store).enqueue("t", "study: t", "d")
    time.sleep(0.002)
    with store.write() as connection:
        Submissions(store).put("t", *SUBMITTER, 0, connection)
    deliver(notifier)
    happen(home, end("failed"), study="t")
    deliver(notifier)
    assert list_received(receiver) == ["failed"]


def test_a_kill_before_the_record_sends_again(world, receiver):
    """At least once: with the same id, by which a receiver knows it."""
    home, store = world
    spec = NotifySpec(webhook=receiver.address)
    notifier = start(home, store, spec)
    happen(home, end())
    notifier.collect()
    notifier.deliveries[0]._send(Notifications(store).find_next(name_receivers([spec])[0]))
    deliver(start(home, store, spec))
    first, second = (json.loads(body) for _, body in receiver.got)
    assert first == second


def test_a_receiver_gets_the_kinds_that_it_requests(world, receiver):
    """By default how a study ended."""
    home, store = world
    notifier = start(home, store, NotifySpec(webhook=receiver.address))
    happen(home, BEST, end())
    deliver(notifier)
    assert list_received(receiver) == ["finished"]
    assert Notifications(store).count_waiting() == 0


def test_a_signature_proves_where_it_comes_from(world, receiver, tmp_path):
    """Whoever has the secret can compute it over the time and the body as they came."""
    home, store = world
    (tmp_path / "secret").write_text("hush\n")
    notifier = start(home, store, NotifySpec(webhook=receiver.address, secret_file=str(tmp_path / "secret")))
    happen(home, end())
    deliver(notifier)
    [(headers, body)] = receiver.got
    parts = dict(part.split("=") for part in headers[SIGNATURE].split(","))
    right = hmac.new(b"hush", parts["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
    assert parts["v1"] == right


def test_a_failed_delivery_is_tried_again(world, receiver):
    """Until it is taken; what follows waits for its turn."""
    home, store = world
    receiver.answers = [500, 503, 429, 500, 500, 500, 302]
    notifier = start(home, store, NotifySpec(webhook=receiver.address))
    happen(home, end(), end("failed"))
    deliver(notifier)
    assert list_received(receiver) == ["finished"] * 8 + ["failed"]


def test_what_a_receiver_refuses_is_dropped(world, receiver, log):
    """After five tries, with a line in the log that does not show the address, which may be a password."""
    home, store = world
    receiver.answers = [404] * 5
    notifier = start(home, store, NotifySpec(webhook=f"{receiver.address}/hush"))
    happen(home, end(), end("failed"))
    deliver(notifier)
    assert list_received(receiver) == ["finished"] * 5 + ["failed"]
    assert 'notify[0]: "finished" of s was dropped: 127.0.0.1 answered 404' in log.text
    assert "hush" not in log.text


def test_a_receiver_that_is_away_delays_no_other(world, receiver, tmp_path):
    """Each has a thread: one without an answer waits for its own alone."""
    home, store = world
    away = NotifySpec(webhook="http://127.0.0.1:9/")
    until = tmp_path / "until"
    code = "import pathlib, sys, time\nwhile not pathlib.Path(sys.argv[1]).exists(): time.sleep(0.05)"
    hangs = NotifySpec(command=[sys.executable, "-c", code, str(until)])
    notifier = Notifier(home, store, [away, hangs, NotifySpec(webhook=receiver.address)])
    notifier.prepare()
    happen(home, end())
    notifier.start()
    try:
        # Less than a command may take.
        assert receiver.arrived.wait(50)
    finally:
        notifier.stop()
        until.touch()
    assert list_received(receiver) == ["finished"]
    assert Notifications(store).count_waiting() == 1


def test_a_day_is_the_longest_wait(world, receiver, monkeypatch, log):
    """Then a notification is dropped, and the next one is tried."""
    home, store = world
    notifier = start(home, store, NotifySpec(webhook="http://127.0.0.1:9/hush"))
    happen(home, end())
    monkeypatch.setattr(notifications, "_STALE_MS", -1)
    deliver(notifier)
    assert '"finished" of s was dropped: ConnectError at 127.0.0.1' in log.text
    assert "hush" not in log.text


def test_the_oldest_of_too_many_are_dropped(world, receiver, monkeypatch, log):
    """A receiver that is away for long does not fill the store."""
    home, store = world
    monkeypatch.setattr(notifications, "_MOST_WAITING", 2)
    notifier = start(home, store, NotifySpec(on=["new_best", "finished"], webhook=receiver.address))
    happen(home, BEST, BEST, BEST, BEST, end())
    deliver(notifier)
    assert list_received(receiver) == ["new_best", "finished"]
    assert "the oldest 3 were dropped" in log.text


def test_a_command_gets_it_on_standard_input(world, tmp_path):
    """The operator's own program, with no shell between."""
    home, store = world
    code = f"import sys; open({str(tmp_path / 'got')!r}, 'w').write(sys.stdin.read())"
    notifier = start(home, store, NotifySpec(command=[sys.executable, "-c", code]))
    happen(home, end())
    deliver(notifier)
    assert json.loads((tmp_path / "got").read_text())["kind"] == "finished"


def test_events_go_to_observers_from_the_start_on(world):
    """Metrics count what happens, and not what happened before the service started."""
    home, store = world
    happen(home, BEST)
    seen = []
    notifier = Notifier(home, store, (), seen.append)
    notifier.prepare()
    happen(home, WORSE, end())
    notifier.collect()
    assert [event.kind for event in seen] == ["trial-ended", "study-ended"]
