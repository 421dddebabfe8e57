"""Messages between the service and a study's supervisor process.

The request is one line of JSON on the process's standard input, which then stays open: its end is the service's end. It
is no command-line argument, since the address of the store may hold a password. A failure is a file in the study's
folder, so that it also reaches a service that was started meanwhile.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from pipelines.workspace.atomic_files import write_text
from pipelines.workspace.home import Home
from search_spaces.errors import ConflictError, InputError, KerastudyError
from tracking.store.study_queue import StudyBusyError

FailureKind = Literal["conflict", "input", "busy", "error", "defect"]
Task = Literal["run", "cancel", "deliver"]
_FILE = "supervisor-failure.json"
_CHUNK_BYTES = 4096


@dataclass(frozen=True)
class SupervisorRequest:
    """Work of one supervisor process.

    Attributes:
        folder: the home's folder.
        store: the home's database.
        task: whether to run the study to its end, to cancel it, or to deliver what MLflow lacks of it.
        max_trials: most trials that train at once; None for any number.
        max_workers: most worker processes, whatever the study's file requests; None for no limit.
        max_data_s: most seconds for the preparation of its data; None for no limit.
        max_check_s: most seconds for the trial of its models before the search; None for no limit.
        max_memory: most bytes of memory of one worker; None for no limit.
        withheld_aliases: aliases that the study's end must not set: its winner becomes challenger instead.
        quota: most bytes of the home; None for no limit.
        lease: token of the lease on the study that the process continues; empty where it has to claim one.
    """

    study: str
    folder: str
    store: str
    task: Task = "run"
    max_trials: int | None = None
    max_workers: int | None = None
    max_data_s: float | None = None
    max_memory: int | None = None
    withheld_aliases: tuple[str, ...] = ()
    quota: int | None = None
    lease: str = ""
    max_check_s: float | None = None

    @property
    def home(self) -> Home:
        """Return the home that holds the study."""
        return Home(Path(self.folder), self.store)


@dataclass(frozen=True)
class SupervisorFailure:
    """Reason why a supervisor process failed.

    Attributes:
        kind: `input` for a study that cannot be used, `conflict` for one whose state does not allow the task, `busy`
            for one that another process works on, `error` for any other error of ours or of the system, `defect` for
            the rest, whose traceback is in the process's log.
    """

    kind: FailureKind
    message: str

    @classmethod
    def from_error(cls, error: BaseException) -> SupervisorFailure:
        """Return the failure that an exception stands for."""
        # Names and not pickled exceptions: the file outlives the version of kerastudy that wrote it.
        kinds: dict[type[BaseException], FailureKind] = {
            ConflictError: "conflict",
            InputError: "input",
            StudyBusyError: "busy",
            KerastudyError: "error",
            OSError: "error",
        }
        kind: FailureKind = next((kinds[each] for each in type(error).__mro__ if each in kinds), "defect")
        return cls(kind, str(error) if kind != "defect" else f"{type(error).__name__}: {error}")

    def to_error(self) -> KerastudyError:
        """Return the exception that stands for the failure in the service."""
        errors: dict[FailureKind, type[KerastudyError]] = {
            "conflict": ConflictError,
            "input": InputError,
            "busy": StudyBusyError,
        }
        return errors.get(self.kind, KerastudyError)(self.message)


_request = TypeAdapter(SupervisorRequest)
_failure = TypeAdapter(SupervisorFailure)


def encode_request(request: SupervisorRequest) -> bytes:
    """Return a request as a line."""
    return _request.dump_json(request) + b"\n"


def read_request(descriptor: int) -> SupervisorRequest:
    """Return the request that arrives at a file descriptor.

    Raises:
        EOFError: if the service ended before it had sent the request.
    """
    line = b""
    # Unbuffered: a thread goes on to wait for the end of the same descriptor.
    while not line.endswith(b"\n"):
        chunk = os.read(descriptor, _CHUNK_BYTES)
        if not chunk:
            raise EOFError("the service ended before it had sent its request")
        line += chunk
    return _request.validate_json(line)


def write_failure(study_folder: Path, failure: SupervisorFailure) -> None:
    """Write the failure of a study's supervisor process."""
    write_text(study_folder / _FILE, _failure.dump_json(failure).decode())


def take_failure(study_folder: Path) -> SupervisorFailure | None:
    """Return the failure that a study's last supervisor process wrote, and remove it; None where it wrote none."""
    file = study_folder / _FILE
    try:
        content = file.read_bytes()
        # Read once: the next failure must not be mistaken for this one.
        file.unlink()
        return _failure.validate_json(content)
    except (OSError, ValidationError):  # no file, or one that a full disk cut short
        return None
