"""A study whose data is prepared: visible with its step, open to requests, free again after a kill."""

from __future__ import annotations

import pytest
from served import study_text, submit

from pipelines.operations.submit import submit_study
from pipelines.queries.record_reader import load_record
from pipelines.service.supervisors import preparation as module
from pipelines.service.supervisors.preparation import Preparation, PreparationHaltedError
from pipelines.supervisor.event_log import LOG_FILE
from tracking.store.study_queue import StudyBusyError, StudyQueue


@pytest.fixture
def preparation(service, ann, monkeypatch):
    """The preparation of a submitted study that reads requests at once."""
    monkeypatch.setattr(module, "_READ_REQUESTS_EVERY_S", -1.0)
    submit(service, ann, study_text())
    service.home.locate_study("s").mkdir(parents=True)
    return Preparation(service.home, service.store, "s")


def show(service, ann):
    answer = service.client.get("/v1/studies/s", headers=ann).json()
    listed = service.client.get("/v1/studies", params={"state": answer["state"]}, headers=ann).json()["studies"]
    assert [each["name"] for each in listed] == ["s"]
    return answer["state"], answer["reason"]


def test_everybody_sees_what_it_does(service, ann, preparation):
    """The state is `preparing`, its reason is the step, and the log has it for those who follow."""
    with preparation.hold():
        preparation.describe("reading a.csv")
        assert show(service, ann) == ("preparing", "reading a.csv")
        assert (service.home.locate_study("s") / LOG_FILE).read_text() == "reading a.csv\n"


def test_a_killed_preparation_waits_for_its_turn_again(service, ann, preparation):
    """Nothing shows a step that nobody works on; a service starts the study again."""
    with preparation.hold():
        preparation.describe("reading a.csv")
    assert show(service, ann) == ("queued", "")
    assert service.supervisors.list_waiting() == ("s",)


def test_no_other_process_takes_the_study(service, preparation):
    """Its lease holds while data is prepared, and ends with it."""
    other = Preparation(service.home, service.store, "s")
    with preparation.hold():
        with pytest.raises(StudyBusyError), other.hold():
            pass
        preparation.release()
        with other.hold():
            pass


@pytest.mark.parametrize("request_", ["pause", "cancel"])
def test_a_request_ends_it(service, preparation, request_):
    """A study can be paused and cancelled while its data is read."""
    with preparation.hold():
        StudyQueue(service.store).set_control_request("s", request_)
        with pytest.raises(PreparationHaltedError) as caught:
            preparation.keep_alive()
    assert caught.value.control_request == request_


def test_a_stop_holds_for_the_search_that_follows(service, preparation):
    """It is handled, so that who asked for it has an answer, and not forgotten."""
    with preparation.hold():
        StudyQueue(service.store).set_control_request("s", "stop")
        preparation.keep_alive()
        assert preparation.is_stop_requested
        assert StudyQueue(service.store).find_control_request("s") is None


def test_the_same_study_again_leaves_it_alone(service, ann, preparation):
    """A second submission while the data is read starts nothing anew."""
    with preparation.hold():
        preparation.describe("reading a.csv")
        queue = StudyQueue(service.store)
        with service.store.write() as connection:
            assert not submit_study(load_record(queue.get("s")), queue, connection)
        assert queue.get("s").state == "preparing"
