"""Delivery of one study's records to MLflow in another process, so that neither search nor fleets wait for it.

MLflow takes two seconds to import and five milliseconds a trial, and would share its interpreter with the supervisor.
The outbox is in the store, so the process needs the store's address, the study and its lease. It is started again after
whatever ends it; a row that it has not acknowledged is delivered again, which changes nothing.
"""

from __future__ import annotations

import io
import json
import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Final

from tracking.mlflow import urls
from tracking.mlflow.delivery_process import DeliveryRequest
from tracking.outbox.outbox import Backlog, Outbox
from tracking.store.database import Store
from tracking.timings.stopwatch import get_times

# -P: a file in the current folder that is called like a library must not be imported.
# `kerastudy` first, which loads our packages whatever PYTHONPATH holds; its folder last, where it is not installed.
_ROOT: Final = Path(__file__).resolve().parents[2]
_CODE: Final = (
    f"import sys; sys.path.append({str(_ROOT)!r}); import kerastudy, tracking.mlflow.delivery_process as it; it.main()"
)
_COMMAND: Final = [sys.executable, "-P", "-c", _CODE]
_POLL_S: Final = 0.1
# Time to end a request, beyond that of the flush; then the process is killed.
_LEAVING_S: Final = 5.0
_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 30.0
# A process that lived so long has not failed at its start.
_STABLE_S: Final = 60.0
_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())


class DeliveryHandle:
    """Handle of the process that delivers one study's rows to MLflow; a `Delivery`.

    Args:
        folder: the home's folder.
        environ: environment that names MLflow's server, if there is one.
        store: the store.
        address: its address.
        study: the study.
        find_lease: returns the token of the lease that allows the delivery; called when the process starts.
    """

    def __init__(
        self,
        folder: Path,
        environ: Mapping[str, str],
        store: Store,
        address: str,
        study: str,
        find_lease: Callable[[], str],
    ) -> None:
        self._tracking_uri = urls.resolve_tracking_uri(folder, environ)
        self._artifact_root = urls.resolve_artifact_root(folder, environ)
        self._address = address
        self._study = study
        self._find_lease = find_lease
        self._times = get_times()
        self._outbox = Outbox(store)
        self._watcher: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None
        # Held while a process starts, so that `stop` reaches each.
        self._starting = threading.Lock()
        self._due = threading.Event()
        self._is_stopping = threading.Event()
        self._has_ended = threading.Event()
        self._is_hurried = False
        self._deadline = 0.0
        self.last_error = ""
        self.is_away = False

    def start(self, within_s: float = 0.0) -> None:
        """See `Delivery`."""
        if within_s <= 0:
            self._due.set()
        if self._watcher is None:
            self._watcher = threading.Thread(
                target=self._keep_running, args=(within_s,), name="mlflow-delivery", daemon=True
            )
            self._watcher.start()

    def hurry(self) -> None:
        """See `Delivery`."""
        # Neither a lock nor a buffer: the interrupted thread may hold it at this moment.
        self._is_hurried = True
        self._send(hurry=True)

    def stop(self, flush_s: float) -> Backlog:
        """See `Delivery`."""
        if flush_s > 0 and self._watcher is None and self._outbox.read_backlog(self._study).rows:
            self.start()
        if self._watcher is not None:
            with self._starting:
                self._deadline = time.monotonic() + flush_s
                self._is_stopping.set()
                self._due.set()
                self._send(stop=flush_s)
            self._wait_for_end()
        return self._outbox.read_backlog(self._study)

    def _wait_for_end(self) -> None:
        # In short waits for the sake of `hurry`.
        while not self._has_ended.wait(_POLL_S):
            if self._is_hurried:
                self._deadline = min(self._deadline, time.monotonic())
            if time.monotonic() > self._deadline + _LEAVING_S:
                with self._starting:
                    if self._process is not None:
                        self._process.kill()
                self._has_ended.wait(_LEAVING_S)
                return

    def _keep_running(self, within_s: float) -> None:
        """Start the process, and start it again until one has ended as requested."""
        self._due.wait(within_s)
        pause_s = _FIRST_PAUSE_S
        while self._launch():
            began = time.monotonic()
            status = self._follow()
            if status == 0:
                break
            if time.monotonic() - began > _STABLE_S:
                pause_s = _FIRST_PAUSE_S
            if self._is_stopping.wait(pause_s):
                time.sleep(_FIRST_PAUSE_S)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        self._has_ended.set()

    def _launch(self) -> bool:
        """Start a process; return whether there is time left for one."""
        with self._starting:
            left_s = self._deadline - time.monotonic()
            if self._is_stopping.is_set() and (left_s <= 0 or self._is_hurried):
                return False
            try:
                self._process = _start_process()
            except OSError as error:
                self._process = None
                self.last_error = f"delivery to MLflow cannot start a process: {error.strerror or error}"
                return True
            request = DeliveryRequest(
                self._study,
                self._find_lease(),
                self._address,
                self._tracking_uri,
                self._artifact_root,
                None if self._times is None else self._times.origin,
            )
            self._send(**asdict(request))
            if self._is_stopping.is_set():
                self._send(stop=left_s)
        return True

    def _follow(self) -> int | None:
        """Read what the process sends until it ends; return its exit status, None where none has started."""
        process = self._process
        if process is None or not isinstance(process.stdout, io.RawIOBase) or process.stdin is None:
            return None
        with io.BufferedReader(process.stdout) as answers:
            for line in answers:
                self._handle(json.loads(line))
        status = process.wait()
        with suppress(OSError):
            process.stdin.close()
        if status < 0:
            self.last_error = f"delivery to MLflow was ended by signal {-status}"
        if status and not self._is_stopping.is_set():
            _log.warning("the process that delivers to MLflow ended with status %d and starts again", status)
        return status

    def _handle(self, answer: Mapping[str, object]) -> None:
        if "message" in answer:
            _log.log(int(str(answer["level"])), "%s", answer["message"])
        else:
            self.last_error, self.is_away = str(answer["error"]), bool(answer.get("away"))

    def _send(self, **command: object) -> None:
        process = self._process
        if process is None or process.stdin is None:
            return
        with suppress(OSError, ValueError):  # it has ended
            process.stdin.write(json.dumps(command).encode() + b"\n")


def _start_process() -> subprocess.Popen[bytes]:
    # The supervisor decides when it ends: a terminal, or a manager of services, signals both.
    signals = {signal.SIGINT, signal.SIGTERM}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        # Not in a session of its own, where the system might give it as much of the processors as the whole study.
        return subprocess.Popen(
            _COMMAND,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
