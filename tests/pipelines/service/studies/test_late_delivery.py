"""Records that MLflow lacks of studies at rest: delivered by a process of their own, one study at a time."""

from __future__ import annotations

import pytest
from served import study_text

from pipelines.operations.sync import SyncResult
from pipelines.service.studies import late_delivery
from pipelines.service.studies.late_delivery import LateDelivery
from pipelines.service.supervisors import supervisor_process
from pipelines.service.supervisors.supervisor_messages import SupervisorRequest
from search_spaces.errors import KerastudyError
from tracking.outbox.outbox import Outbox
from tracking.outbox.records import ModelDisplaced
from tracking.store.database import Store
from tracking.store.processes import identify_process
from tracking.store.study_queue import StudyQueue


class FakeProcess:
    """Handle of a process whose end a test decides."""

    started: list[FakeProcess]

    def __init__(self, request):
        self.study, self.has_ended, self.succeeded = request.study, False, False
        FakeProcess.started.append(self)

    def end(self, *, succeeded):
        self.has_ended, self.succeeded = True, succeeded

    def describe_end(self):
        return "failed"

    def close(self):
        pass


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A store with studies that have a row for MLflow, and a process that runs at once and only seems to work."""
    FakeProcess.started = []
    monkeypatch.setattr(late_delivery, "SupervisorHandle", FakeProcess)
    monkeypatch.setattr(late_delivery, "_EVERY_S", 0.0)
    with Store.open(tmp_path) as opened:
        for name, state in (("runs", "running"), ("held", "finished"), ("first", "finished"), ("second", "failed")):
            StudyQueue(opened).enqueue(name, study_text(name), name)
            StudyQueue(opened).set_state(name, state)
            with opened.write() as connection:
                Outbox(opened).add([ModelDisplaced(name, 1)], connection)
        StudyQueue(opened).claim("held", identify_process(), 60.0)
        yield opened


def make_request(study):
    return SupervisorRequest(study, "home", "home", "deliver")


def test_studies_at_rest_are_delivered_one_after_the_other(store):
    """A study that runs, or that a process still holds, is left to that process."""
    delivery = LateDelivery(store, make_request)
    for _ in range(3):
        delivery.step()
    assert [each.study for each in FakeProcess.started] == ["first"]
    Outbox(store).acknowledge(Outbox(store).read_next_rows("first", 10))
    FakeProcess.started[0].end(succeeded=True)
    delivery.step()
    assert [each.study for each in FakeProcess.started] == ["first", "second"]


def test_a_failed_delivery_is_tried_again_later(store, monkeypatch):
    """While MLflow is away the others have their turn, and the first one waits for minutes."""
    delivery = LateDelivery(store, make_request)
    for place in range(2):
        delivery.step()
        FakeProcess.started[place].end(succeeded=False)
    delivery.step()
    assert [each.study for each in FakeProcess.started] == ["first", "second"]
    monkeypatch.setattr(late_delivery.time, "monotonic", lambda: 1e9)
    delivery.step()
    assert [each.study for each in FakeProcess.started] == ["first", "second", "first"]


def test_records_that_are_left_are_a_failure(monkeypatch):
    """The process ends with the reason, so that its host tries again later."""
    found = [SyncResult("first", 2, 1, "MLflow does not answer")]
    monkeypatch.setattr(supervisor_process, "sync", lambda *_: iter(found))
    with pytest.raises(KerastudyError, match="1 records wait: MLflow does not answer"):
        supervisor_process.deliver_records(make_request("first"))
    found[0] = SyncResult("first", 3, 0, "")
    supervisor_process.deliver_records(make_request("first"))
