"""The client of a home on this machine."""

from __future__ import annotations

import getpass

import pytest

from pipelines.client import local
from pipelines.client.local import LocalClient
from pipelines.supervisor.event_log import LOG_FILE, record_events
from pipelines.supervisor.events import TrialBegan
from search_spaces.errors import ConflictError, InputError, UnknownError
from tracking.store.audit import AuditLog
from tracking.store.study_queue import StudyQueue
from tracking.store.submissions import Submissions


def test_a_submission_waits_for_a_service(home, study, store):
    """The study is in the queue, as a submission of this user."""
    with LocalClient(home) as client:
        assert client.submit(study, priority=3)[0] == "s"
    submission = Submissions(store).find("s")
    assert (submission.submitter, submission.priority) == (getpass.getuser(), 3)


def test_a_log_is_read_piece_by_piece(home, monkeypatch):
    """The pieces together are the file; a trial that does not exist is an error."""
    monkeypatch.setattr(local, "_PIECE_BYTES", 4)
    home.locate_study("s").mkdir(parents=True, exist_ok=True)
    (home.locate_study("s") / LOG_FILE).write_text("trial 0 ended\n")
    client = LocalClient(home)
    assert "".join(client.read_log("s", None, follow=False)) == "trial 0 ended\n"
    with pytest.raises(UnknownError, match="s has no trial 4"):
        list(client.read_log("s", 4, follow=False))


def test_following_ends_with_the_study(home, store):
    """A paused study has no process that could write more."""
    StudyQueue(store).set_state("s", "paused")
    (home.locate_study("s") / LOG_FILE).write_text("trial 0 ended\n")
    assert list(LocalClient(home).read_log("s", None, follow=True)) == ["trial 0 ended\n"]


def test_a_study_without_a_log_has_its_records(home, store):
    """One that has not begun, or whose log is gone, is described from the store."""
    StudyQueue(store).set_state("s", "paused", "for lunch")
    expected = [
        "s has no log yet; what its records hold:",
        "maximize val_accuracy over 5 trials; data d.csv; model mlp",
        "s paused: for lunch",
    ]
    (text,) = LocalClient(home).read_log("s", None, follow=False)
    assert text.splitlines() == expected


def test_events_are_read_until_the_study_ends(home, store):
    """In order, whoever wrote them; a study that is paused writes no more."""
    StudyQueue(store).set_state("s", "paused")
    list(record_events(home, "s", [TrialBegan(0, {}), TrialBegan(1, {})]))
    found = list(LocalClient(home).read_events("s"))
    assert [(each.kind, each.content["number"]) for each in found] == [("trial-began", 0), ("trial-began", 1)]


def test_a_home_takes_no_uploads(home, study):
    """Its files are on this machine already."""
    with pytest.raises(InputError, match="there is no service to send files to"):
        LocalClient(home).upload_data(study)


def test_what_changes_a_study_is_in_the_audit_log(home, study, store):
    """As with a service: who did what to which study; what was refused changed nothing, and is not there."""
    client = LocalClient(home)
    client.submit(study)
    client.control("s", "pause")
    with pytest.raises(ConflictError):
        client.control("s", "stop")
    StudyQueue(store).set_state("s", "finished")
    client.archive("s")
    client.unarchive("s")
    client.delete("s", force=False)
    lines = [(line.operation, line.object, line.name) for line in AuditLog(store).list()]
    operations = ("submit", "pause", "archive", "unarchive", "delete")
    assert lines[::-1] == [(f"study.{each}", "s", getpass.getuser()) for each in operations]
