"""The channel of a local worker."""

from __future__ import annotations

import multiprocessing
from types import SimpleNamespace

from pipelines.engines import local_worker
from pipelines.engines.local_worker import PipeChannel


def received(connection):
    found = []
    while connection.poll():
        found.append(connection.recv())
    return found


def test_signs_of_life_are_sent_once_a_second(monkeypatch):
    """However short a batch is; any other message is one too."""
    now = [100.0]
    monkeypatch.setattr(local_worker, "time", SimpleNamespace(monotonic=lambda: now[0]))
    ours, theirs = multiprocessing.Pipe()
    channel = PipeChannel(theirs)
    for at in (100.0, 100.4, 100.9, 101.1):
        now[0] = at
        channel.beat()
    assert received(ours) == [("beat", None)] * 2
    now[0] = 102.0
    channel.report("epoch")
    channel.beat()
    assert received(ours) == [("report", "epoch")]


def test_a_request_waits_for_its_answer():
    """The answer may be there before the request is read."""
    ours, theirs = multiprocessing.Pipe()
    ours.send(True)
    assert PipeChannel(theirs).request("prune?") is True
    assert received(ours) == [("request", "prune?")]
