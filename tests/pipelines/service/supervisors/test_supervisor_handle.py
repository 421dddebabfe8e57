"""A supervisor process reports its failure as a typed value, and ends with its service."""

from __future__ import annotations

from pipelines.service.supervisors.supervisor_handle import SupervisorHandle
from pipelines.service.supervisors.supervisor_messages import SupervisorRequest
from tracking.store.database import Store


def test_a_process_that_fails_names_the_reason(tmp_path):
    """It is an error of ours, not the last line of what was printed."""
    with Store.open(tmp_path):
        pass
    handle = SupervisorHandle(SupervisorRequest("nothing", str(tmp_path), str(tmp_path)))
    assert handle.wait(300)
    assert handle.has_ended
    failure = handle.take_failure()
    assert (failure.kind, "nothing" in failure.message) == ("input", True)
    assert handle.describe_end() == "ended with exit status 1"
    assert "nothing" in handle.log.read_text()


def test_a_process_without_a_service_ends(tmp_path):
    """The pipe to it closes with the service, however that ends; it is no failure."""
    handle = SupervisorHandle(SupervisorRequest("s", str(tmp_path), str(tmp_path)))
    handle.terminate()
    assert handle.wait(300)
    assert handle.take_failure() is None
    assert handle.describe_end() == "was ended by signal 15"
