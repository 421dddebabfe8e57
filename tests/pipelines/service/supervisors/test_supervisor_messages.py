"""Requests and failures arrive as the values that were sent."""

from __future__ import annotations

import os

import pytest

from pipelines.service.supervisors.supervisor_messages import (
    SupervisorFailure,
    SupervisorRequest,
    encode_request,
    read_request,
    take_failure,
    write_failure,
)
from search_spaces.errors import ConflictError, InputError, KerastudyError, UnknownError
from tracking.store.study_queue import StudyBusyError


def test_a_request_is_one_line():
    """What follows on the same pipe stays there: its end is the service's end."""
    request = SupervisorRequest("s", "/home", "postgresql://user:secret@host/db", "run", 4, None)
    read, write = os.pipe()
    os.write(write, encode_request(request))
    assert read_request(read) == request
    os.close(write)
    assert os.read(read, 1) == b""
    os.close(read)


def test_a_service_that_ended_sends_no_request():
    """The process then has nothing to do."""
    read, write = os.pipe()
    os.close(write)
    with pytest.raises(EOFError):
        read_request(read)
    os.close(read)


@pytest.mark.parametrize(
    ("error", "kind", "type_"),
    [
        (InputError("no column"), "input", InputError),
        (UnknownError("no study"), "input", InputError),
        (ConflictError("cancelled"), "conflict", ConflictError),
        (StudyBusyError("busy"), "busy", StudyBusyError),
        (KerastudyError("MLflow is away"), "error", KerastudyError),
        (OSError(28, "No space left on device"), "error", KerastudyError),
        (ZeroDivisionError("division by zero"), "defect", KerastudyError),
    ],
)
def test_an_error_keeps_its_kind(tmp_path, error, kind, type_):
    """So that a client gets the status that belongs to it."""
    write_failure(tmp_path, SupervisorFailure.from_error(error))
    failure = take_failure(tmp_path)
    assert failure.kind == kind
    assert type(failure.to_error()) is type_
    assert str(error) in str(failure.to_error())
    assert take_failure(tmp_path) is None


def test_a_failure_that_was_cut_short_is_none(tmp_path):
    """A full disk may leave an empty file."""
    write_failure(tmp_path, SupervisorFailure("input", "no column"))
    [file] = tmp_path.iterdir()
    file.write_text("")
    assert take_failure(tmp_path) is None
