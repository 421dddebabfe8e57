"""Notifications over real HTTP and real commands: each once, in order, signed, tried again, and dropped in the end."""

from __future__ import annotations

import hashlib
import hmac
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from pipelines.service import notifications
from pipelines.service.config import NotifySpec
from pipelines.service.notifications import SIGNATURE, Notifier
from pipelines.supervisor.event_log import record_events
from pipelines.supervisor.events import StudyEnded, TrialEnded
from pipelines.workspace.home import Home
from tracking.store.database import Store
from tracking.store.submissions import Submissions

BEST = TrialEnded(0, "complete", 0.5, "", 1.0, is_best=True)
WORSE = TrialEnded(1, "complete", 0.9, "", 1.0, is_best=False)


def end(state="finished"):
    return StudyEnded("s", state, "why", "val_loss", 0, 0.5, {"loss": 0.6}, {"complete": 2}, 1.0, 0, "")


class Receiver:
    """Web server that keeps its requests and gives the answers that a test sets."""

    def __init__(self):
        self.got, self.answers = [], []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.got.append((dict(self.headers), body))
                self.send_response(outer.answers.pop(0) if outer.answers else 204)
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


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
            Submissions(store).put("s", "ann", 0, connection)
        yield home, store


@pytest.fixture(autouse=True)
def _hurried(monkeypatch):
    monkeypatch.setattr(Notifier, "_sleep", lambda self, seconds: None)


def list_received(receiver):
    return [json.loads(body)["kind"] for _, body in receiver.got]


def happen(home, *events):
    list(record_events(home, "s", events))


def test_each_is_told_once_in_order(world, receiver):
    """The chosen events and no others; a service that starts again sends none again."""
    home, store = world
    everything = [NotifySpec(on=["finished", "failed", "new_best"], webhook=receiver.address)]
    happen(home, BEST, WORSE, end())
    Notifier(home, store, everything).step()
    Notifier(home, store, everything).step()
    assert list_received(receiver) == ["new_best", "finished"]
    last = json.loads(receiver.got[-1][1])
    assert (last["study"], last["submitter"], last["winner"], last["test"]) == ("s", "ann", 0, {"loss": 0.6})
    happen(home, end("failed"), end("paused"), end("cancelled"))
    Notifier(home, store, everything).step()
    assert list_received(receiver)[2:] == ["failed"]


def test_a_receiver_gets_the_kinds_that_it_asked_for(world, receiver):
    """By default how a study ended."""
    home, store = world
    happen(home, BEST, end())
    Notifier(home, store, [NotifySpec(webhook=receiver.address)]).step()
    assert list_received(receiver) == ["finished"]


def test_a_signature_proves_where_it_comes_from(world, receiver, tmp_path):
    """Whoever has the secret can compute it over the time and the body as they came."""
    home, store = world
    (tmp_path / "secret").write_text("hush\n")
    happen(home, end())
    spec = NotifySpec(webhook=receiver.address, secret_file=str(tmp_path / "secret"))
    Notifier(home, store, [spec]).step()
    [(headers, body)] = receiver.got
    parts = dict(part.split("=") for part in headers[SIGNATURE].split(","))
    right = hmac.new(b"hush", parts["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
    assert parts["v1"] == right


def test_a_refusal_is_tried_again(world, receiver):
    """Until it is taken; what follows waits for its turn."""
    home, store = world
    receiver.answers = [500, 503, 302]
    happen(home, end(), end("failed"))
    Notifier(home, store, [NotifySpec(webhook=receiver.address)]).step()
    assert list_received(receiver) == ["finished"] * 4 + ["failed"]


def test_one_that_never_answers_is_given_up(world, receiver, caplog, monkeypatch):
    """With a line in the log; others get theirs, and it does not block them for ever."""
    home, store = world
    # What tests before this one have imported may have quietened or cut off our logger.
    monkeypatch.setattr(notifications._log, "disabled", False)
    monkeypatch.setattr(notifications._log, "propagate", True)
    caplog.set_level("INFO", logger=notifications._log.name)
    happen(home, end())
    deaf = NotifySpec(webhook="http://127.0.0.1:9/")
    Notifier(home, store, [deaf, NotifySpec(webhook=receiver.address)]).step()
    assert list_received(receiver) == ["finished"]
    assert "finished of s was dropped" in caplog.text
    Notifier(home, store, [deaf]).step()
    assert caplog.text.count("was dropped") == 1


def test_a_command_gets_it_on_standard_input(world, tmp_path):
    """The operator's own program, with no shell between."""
    home, store = world
    happen(home, end())
    code = f"import sys; open({str(tmp_path / 'got')!r}, 'w').write(sys.stdin.read())"
    Notifier(home, store, [NotifySpec(command=[sys.executable, "-c", code])]).step()
    assert json.loads((tmp_path / "got").read_text())["kind"] == "finished"


def test_old_news_is_no_news(world, receiver, monkeypatch):
    """A new receiver gets none of last year's."""
    home, store = world
    happen(home, end())
    monkeypatch.setattr(notifications, "_STALE_MS", -1)
    Notifier(home, store, [NotifySpec(webhook=receiver.address)]).step()
    assert list_received(receiver) == []
