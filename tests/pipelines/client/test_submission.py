"""Submission of a study to a home, and the wait for its end."""

from __future__ import annotations

import threading

import pytest

from pipelines.client import submission
from pipelines.client.local import LocalClient
from pipelines.supervisor.event_log import LOG_FILE
from search_spaces.errors import InputError
from tracking.store.study_queue import StudyQueue


def test_a_submission_states_the_queue(home, study, store):
    """The same study again is not new, and the result names the command that follows its log."""
    StudyQueue(store).set_state("s", "paused")
    first = submission.submit(LocalClient(home), study, 0, upload=False)
    again = submission.submit(LocalClient(home), study, 0, upload=False)
    assert (first.study, first.is_new, first.state, first.next) == ("s", True, "queued", "kerastudy logs s --follow")
    assert (again.is_new, again.state) == (False, "queued")


def test_a_home_takes_no_uploads(home, study):
    """Data files are uploaded to a service only."""
    with pytest.raises(InputError, match="no service to send files to"):
        submission.submit(LocalClient(home), study, 0, upload=True)


def test_the_wait_ends_with_the_study(home, store):
    """A wait returns the status of a study that ends meanwhile."""
    timer = threading.Timer(0.2, StudyQueue(store).set_state, ("s", "finished", "5 trials"))
    timer.start()
    status = submission.wait(LocalClient(home), "s")
    timer.join()
    assert (status.state, status.reason) == ("finished", "5 trials")


def test_the_log_ends_with_the_status(home, store):
    """The log of an ended study is yielded in full, and its status last."""
    StudyQueue(store).set_state("s", "failed", "no trial completed")
    (home.locate_study("s") / LOG_FILE).write_text("first\nsecond\n")
    *pieces, status = submission.follow(LocalClient(home), "s")
    assert status.state == "failed"
    assert "".join(pieces) == "first\nsecond\n"


def test_an_unknown_study_is_an_error(home):
    """A wait for an unknown study does not wait."""
    with pytest.raises(InputError, match='there is no study "other"'):
        submission.wait(LocalClient(home), "other")
