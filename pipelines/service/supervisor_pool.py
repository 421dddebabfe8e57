"""The processes that work on a service's studies: begun when it is their turn, watched, and ended with the service.

All that decides stands in the store, so a service that was killed goes on where it was. A study that waits is `queued`;
one that nobody works on although it is `running` was cut off, and waits too.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from pipelines.engines.local_engine import cores
from pipelines.queries.study_reader import Lookup, loaded
from pipelines.service.scheduler import NextStudy, RunningStudy, WaitingStudy, choose_next_study, order_waiting
from pipelines.workspace.home import Home
from tracking.store.database import Store
from tracking.store.study_queue import StudyQueue, StudyRecord
from tracking.store.submissions import Submission, Submissions
from tracking.store.tokens import Tokens

_TRIES = 5
_LONGEST_PAUSE_S = 60.0
_GRACE_S = 60.0
_ORDERED_FOR_S = 1.0
_WAITS = ("queued", "running")


@dataclass
class _Attempts:
    """How often a study's process ended before its time without a step forward, and when it may begin again."""

    failed: int = 0
    not_before: float = 0.0
    trials: int = -1


class SupervisorPool:
    """One process for each study that is worked on.

    Args:
        studies: how many may run at a time.
        workers: most worker processes of one study; what its file says if None.
    """

    def __init__(self, home: Home, store: Store, studies: int, workers: int | None) -> None:
        self._home = home
        self._store = store
        self._queue = StudyQueue(store)
        self._submissions = Submissions(store)
        self._tokens = Tokens(store)
        self._most = studies
        self._workers = workers
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._tries: dict[str, _Attempts] = {}
        self._ordering = threading.Lock()
        self._ordered: tuple[tuple[str, ...], float] = (), float("-inf")

    def step(self) -> None:
        """See who has ended, and begin what may begin now."""
        for name, process in list(self._processes.items()):
            if process.poll() is not None:
                del self._processes[name]
                _close_pipe(process)
                status = process.returncode
                how = f"was ended by signal {-status}" if status < 0 else f"ended with exit status {status}"
                self._handle_failure(name, how)
        while (chosen := self._choose_next()) is not None:
            try:
                self._start_process(chosen)
            except OSError as error:  # such as a folder that cannot be written: no reason to keep others waiting
                self._handle_failure(chosen.study, f"could not begin ({error})")

    def waiting(self) -> tuple[str, ...]:
        """Return the studies that wait, in the order in which they would begin; as of a second ago at most."""
        with self._ordering:  # of many who ask at once, one puts a thousand studies in order
            ordered, at = self._ordered
            if time.monotonic() - at > _ORDERED_FOR_S:
                waiting, running = self._read_queue()
                ordered = order_waiting(waiting, running, self._submissions.last_started_ms())
                self._ordered = ordered, time.monotonic()
            return ordered

    def changed(self) -> None:
        """Forget in which order studies wait: somebody has changed it."""
        with self._ordering:
            self._ordered = (), float("-inf")

    @property
    def running(self) -> Sequence[str]:
        """The studies that have a process now."""
        return tuple(self._processes)

    def withdraw(self, name: str) -> None:
        """End a study's process that is not in charge yet, so that nobody could ask it for anything; it waits again."""
        process = self._processes.get(name)
        if process is not None and self._queue.get(name).holder is None:
            process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE_S)

    def stop(self) -> None:
        """Put every running study back into the queue, and wait until that is done."""
        for process in self._processes.values():
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + _GRACE_S
        for process in self._processes.values():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()  # the next service finds the study cut off, and goes on
                process.wait()
            _close_pipe(process)
        self._processes.clear()

    def _choose_next(self) -> NextStudy | None:
        waiting, running = self._read_queue()
        if not waiting or len(running) >= self._most:
            return None
        now = time.monotonic()
        ready = [each for each in waiting if self._tries.get(each.study, _Attempts()).not_before <= now]
        return choose_next_study(ready, running, self._read_quotas(), self._submissions.last_started_ms())

    def _read_queue(self) -> tuple[list[WaitingStudy], list[RunningStudy]]:
        records = self._queue.list(states=_WAITS)
        submitted = self._submissions.of(record.name for record in records)
        waiting, running = [], []
        for record in records:
            submission = submitted.get(record.name)
            if record.name in self._processes or record.holder is not None:
                submitter = submission.submitter if submission else ""
                running.append(RunningStudy(record.name, submitter, submission.trials_at_once if submission else None))
            elif submission is not None:
                waiting.append(_describe_waiting(record, submission))
        return waiting, running

    def _read_quotas(self) -> Mapping[str, int]:
        return {token.name: token.running_trials for token in self._tokens.list() if token.running_trials is not None}

    def _start_process(self, chosen: NextStudy) -> None:
        """Begin a process; what it prints goes to a file of the study."""
        folder = self._home.study(chosen.study)
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-P", "-c", "from pipelines.cli import command; command()", "work", chosen.study]
        if chosen.trials_at_once is not None:
            command += ["--most-trials", str(chosen.trials_at_once)]
        if self._workers is not None:
            command += ["--most-workers", str(self._workers)]
        environment = self._home.environment(os.environ)
        self._submissions.started(chosen.study, chosen.trials_at_once)
        with (folder / "supervisor.log").open("ab") as log:
            # A session of its own, so that a Ctrl-C in the service's terminal is the service's alone.
            self._processes[chosen.study] = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment, start_new_session=True
            )

    def _handle_failure(self, name: str, how: str) -> None:
        """Let a study whose process ended before its time begin again, later each time, and park it in the end."""
        record = self._queue.find(name)
        if record is None or record.state not in _WAITS:
            self._tries.pop(name, None)
            return
        tries = self._tries.setdefault(name, _Attempts())
        counts = Lookup(self._home, self._store).study(name).trials
        trials = sum(count for state, count in counts.items() if state != "running")
        tries.failed = 1 if trials > tries.trials else tries.failed + 1
        tries.trials = trials
        tries.not_before = time.monotonic() + min(_LONGEST_PAUSE_S, 2.0 ** (tries.failed - 1))
        if tries.failed >= _TRIES:
            del self._tries[name]
            log = self._home.study(name) / "supervisor.log"
            reason = f"its supervisor {how}, {_TRIES} times without a step forward; see {log}"
            self._queue.set_state(name, "parked", reason)


def _close_pipe(process: subprocess.Popen[bytes]) -> None:
    """Close our end of the pipe to a process that has ended."""
    if process.stdin is not None:
        process.stdin.close()


def _describe_waiting(record: StudyRecord, submission: Submission) -> WaitingStudy:
    resources = loaded(record).spec.resources
    seats = 1 if resources.fleet == "off" else resources.fleet
    at_once = None if seats == "auto" else (resources.workers or cores()) * seats
    return WaitingStudy(record.name, submission.submitter, submission.priority, submission.submitted_ms, at_once)
