"""Routes that follow a study: its events in order, and its log until its end."""

from __future__ import annotations

import json
import threading
import time

import pytest
from served import detail, study_text, submit

from pipelines.supervisor.event_log import LOG_FILE, record_events
from pipelines.supervisor.events import StudyEnded, TrialBegan
from tracking.store.processes import identify_process
from tracking.store.study_queue import StudyQueue


def events_of(answer):
    """Return the events of a stream: identifier, name, data."""
    found = []
    for block in answer.text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if fields:
            found.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
    return found


def test_events_come_in_order_and_go_on_after_an_id(service, ann):
    """The stream of a study that is over ends with its end; `Last-Event-ID` takes up a broken one."""
    submit(service, ann, study_text())
    end = StudyEnded("s", "finished", "done", "val_loss", 0, 0.5, {}, {"complete": 1}, 1.0, 0, "")
    list(record_events(service.home, "s", [TrialBegan(0, {}), TrialBegan(1, {}), end]))
    StudyQueue(service.store).set_state("s", "finished")
    whole = events_of(service.client.get("/v1/studies/s/events", headers=ann))
    assert [(kind, data.get("number")) for _, kind, data in whole] == [
        ("trial-began", 0),
        ("trial-began", 1),
        ("study-ended", None),
    ]
    rest = service.client.get("/v1/studies/s/events", headers={**ann, "Last-Event-ID": str(whole[0][0])})
    assert events_of(rest) == whole[1:]
    log = service.client.get("/v1/studies/s/logs", params={"follow": True}, headers=ann)
    assert log.text.endswith("s finished: done\n")
    detail(service.client.get("/v1/studies/nope/events", headers=ann), 404)
    detail(service.client.get("/v1/studies/nope/logs", headers=ann), 404)


def test_a_follower_gets_the_end_that_is_written_after_the_state(service, ann):
    """A study's state is final while its process still delivers records; its last event comes when it gives up."""
    submit(service, ann, study_text())
    queue = StudyQueue(service.store)
    lease = queue.claim("s", identify_process(), 60.0)
    queue.set_state("s", "finished")
    end = StudyEnded("s", "finished", "done", "val_loss", 0, 0.5, {}, {"complete": 1}, 1.0, 0, "")

    def write_end() -> None:
        time.sleep(1.0)  # longer than a poll
        list(record_events(service.home, "s", [TrialBegan(0, {}), end]))
        queue.release(lease)

    writer = threading.Thread(target=write_end)
    writer.start()
    found = events_of(service.client.get("/v1/studies/s/events", headers=ann))
    writer.join()
    assert [(kind, data.get("reason")) for _, kind, data in found] == [("trial-began", None), ("study-ended", "done")]


def test_a_log_shows_no_place_of_the_service_s_machine(service, ann):
    """Its lines name files as a client knows them; the last line need not have an end."""
    submit(service, ann, study_text())
    file = service.home.locate_study("s") / LOG_FILE
    file.parent.mkdir(parents=True)
    place = service.home.folder / "uploads" / "a.csv"
    file.write_text(f"reading {place}\n" * 3000 + f"writing {place}")  # more than is read at a time
    text = service.client.get("/v1/studies/s/logs", headers=ann).text
    assert text == "reading HOME/uploads/a.csv\n" * 3000 + "writing HOME/uploads/a.csv"


@pytest.mark.parametrize("events", [[], [StudyEnded("s", "paused", "", "val_loss", 0, 0.5, {}, {}, 1.0, 0, "")]])
def test_the_stream_of_an_ended_study_ends_with_its_end(service, ann, events):
    """Also where no process wrote it: the study was cancelled while it waited, or its process was killed."""
    submit(service, ann, study_text())
    list(record_events(service.home, "s", events))
    StudyQueue(service.store).set_state("s", "cancelled", "cancelled on request")
    _, kind, data = events_of(service.client.get("/v1/studies/s/events", headers=ann))[-1]
    assert (kind, data["state"], data["reason"]) == ("study-ended", "cancelled", "cancelled on request")


@pytest.mark.parametrize("path", ["events", "logs?follow=true"])
@pytest.mark.parametrize("by", ["removal", "expiry"])
def test_an_open_stream_ends_with_its_token(service, ann, admin, path, by):
    """Within seconds after the token was removed or has expired, though the study goes on."""
    submit(service, ann, study_text())
    lifetime = {"lifetime_s": 1} if by == "expiry" else {}
    made = service.client.post("/v1/tokens", json={"name": "eve", "scope": "read", **lifetime}, headers=admin)
    eve = {"Authorization": f"Bearer {made.json()['token']}"}
    with service.client.stream("GET", f"/v1/studies/s/{path}", headers=eve) as answer:
        assert answer.status_code == 200
        if by == "removal":
            service.client.delete("/v1/tokens/eve", headers=admin)
        list(answer.iter_bytes())  # returns only once the service has ended the stream
    assert service.client.get("/v1/me", headers=eve).status_code == 401
