"""Handle of a supervisor process that the service has started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO

from pipelines.data.reading.source_paths import CONFINED
from pipelines.service.supervisors.supervisor_messages import (
    SupervisorFailure,
    SupervisorRequest,
    encode_request,
    take_failure,
)

# Not `-m`: workers import the main module of the process that starts them, and this one takes a second to import.
# -P: a file in the current folder that is called like a library must not be imported.
# `kerastudy` first, which loads our packages whatever PYTHONPATH holds.
_COMMAND = [
    sys.executable,
    "-P",
    "-c",
    "import kerastudy, pipelines.service.supervisors.supervisor_process as it; it.main()",
]
LOG_FILE = "supervisor.log"
_LOG_BYTES = 10_000_000


class SupervisorHandle:
    """Supervisor process of one study; its output goes to `supervisor.log` in the study's folder.

    It ends when the service does, also when the service is killed: its standard input closes.

    Raises:
        OSError: if the study's folder cannot be written, or no process can be started.
    """

    def __init__(self, request: SupervisorRequest) -> None:
        self._folder = request.home.locate_study(request.study)
        self.log = prepare_folder(self._folder)
        take_failure(self._folder)  # of an earlier process
        with self.log.open("ab") as log:
            # A session of its own, so that Ctrl-C in the service's terminal reaches the service alone.
            self._process = subprocess.Popen(
                _COMMAND,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**request.home.make_environment(os.environ), CONFINED: "1"},
                start_new_session=True,
            )
        with suppress(BrokenPipeError):  # it has ended already, which `has_ended` shows
            self._stdin.write(encode_request(request))
            self._stdin.flush()

    @property
    def has_ended(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    @property
    def succeeded(self) -> bool:
        """Whether the process has ended, and done what was requested."""
        return self._process.poll() == 0

    def describe_end(self) -> str:
        """Return how the process ended, in words, and close the handle."""
        self.close()
        if (failure := self.take_failure()) is not None:
            return f"failed ({failure.message})"
        status = self._process.returncode
        return f"was ended by signal {-status}" if status < 0 else f"ended with exit status {status}"

    def take_failure(self) -> SupervisorFailure | None:
        """Return the failure that the process wrote, and remove it; None where it wrote none."""
        return take_failure(self._folder)

    def terminate(self) -> None:
        """Request the process to put its study back into the queue and to end; returns at once."""
        self._process.send_signal(signal.SIGTERM)

    def wait(self, timeout_s: float) -> bool:
        """Wait for the end of the process; return whether it came in time."""
        try:
            # The deadline of several processes may have passed, and one that has ended must still be collected.
            self._process.wait(max(0.1, timeout_s))
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """Kill the process and wait until it is gone."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Close the pipe to a process that has ended."""
        with suppress(BrokenPipeError):  # closing flushes what the process never read
            self._stdin.close()

    @property
    def _stdin(self) -> IO[bytes]:
        if self._process.stdin is None:
            raise AssertionError("a supervisor process is started with a pipe")
        return self._process.stdin


def prepare_folder(folder: Path) -> Path:
    """Make the folder of a study and limit the log of its supervisors; return the log.

    Raises:
        OSError: if the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / LOG_FILE
    _limit_log(log)
    return log


def _limit_log(log: Path) -> None:
    """Rename a large log, in place of an older one; the next process begins a new one."""
    # At a start, and not while a process writes: its workers write to the same file.
    with suppress(FileNotFoundError):
        if log.stat().st_size > _LOG_BYTES:
            log.replace(log.with_name(f"{log.name}.1"))
