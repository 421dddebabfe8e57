"""Supervisor processes of one host's studies: started in their turn, watched, and ended with the host's process.

All state that decides is in the store, so a service that was killed goes on where it was, and several hosts share one
queue. A waiting study is `queued`. A study that is `running` although no process works on it was cut off, and waits
too. A host leases a study before it starts a process, which continues that lease.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipelines.queries.record_reader import load_record
from pipelines.queries.study_reader import StudyReader
from pipelines.service.config import StudyLimits
from pipelines.service.studies.late_delivery import LateDelivery
from pipelines.service.supervisors.scheduler import WaitingStudy, choose_next_study, order_waiting
from pipelines.service.supervisors.study_rounds import WAITING_STATES, StudyRound, StudyRounds
from pipelines.service.supervisors.supervisor_handle import LOG_FILE, SupervisorHandle, prepare_folder
from pipelines.service.supervisors.supervisor_messages import SupervisorRequest, Task
from pipelines.workspace.home import Home
from pipelines.workspace.quota import HomeQuota
from search_spaces.errors import InputError, KerastudyError
from tracking.store.accounts import LOCAL_USER, Accounts
from tracking.store.database import Store
from tracking.store.lease_keeper import LEASE_TTL_S
from tracking.store.model_grants import ModelGrants
from tracking.store.processes import identify_process
from tracking.store.study_queue import Lease, StudyQueue, StudyRecord
from tracking.store.submissions import Submissions
from tracking.store.turns import Turns

_log = logging.getLogger("kerastudy.supervisors")
_MAX_ATTEMPTS = 5  # with pauses of 1, 2, 4 and 8 seconds
_LONGEST_PAUSE_S = 60.0
_GRACE_S = 60.0  # trials are put back within seconds; the rest is for a busy machine
_CANCEL_S = 120.0  # the process loads Optuna and MLflow, and delivers the last records
_ORDER_AGE_S = 1.0


@dataclass
class _Attempts:
    """Failed attempts of a study's process since its last step forward.

    Attributes:
        not_before: when the next attempt may start, by the monotonic clock.
        trials: how many trials had ended at the last failure.
    """

    failed: int = 0
    not_before: float = 0.0
    trials: int = -1


@dataclass(frozen=True)
class _Turn:
    """The study whose turn it is, as it was read, and how many trials it may train at once."""

    number: int
    record: StudyRecord
    trials_at_once: int | None


class SupervisorPool:
    """One supervisor process for each study that runs on this host.

    Attributes:
        failures: how many processes have ended before their study did.
        start_error: why the latest process could not be started; empty if it could.

    Args:
        studies: most studies that run here at a time; none where only other hosts run them.
        limits: most worker processes of one study, and other limits, whatever its file requests.
    """

    def __init__(self, home: Home, store: Store, studies: int, limits: StudyLimits) -> None:
        self._home = home
        self._store = store
        self._queue = StudyQueue(store)
        self._submissions = Submissions(store)
        self._accounts = Accounts(store)
        self._max_studies = studies
        self._limits = limits
        self._quota = HomeQuota(home.folder, limits.home)
        self._processes: dict[str, SupervisorHandle] = {}
        self._cancelling: dict[str, SupervisorHandle] = {}
        self._attempts: dict[str, _Attempts] = {}
        self._leases: dict[str, Lease] = {}
        self._turns = Turns(store)
        self._rounds = StudyRounds(store)
        self._rounds_lock = threading.Lock()  # requests read the queue too
        self._late_delivery = LateDelivery(store, lambda name: self._make_request(name, "deliver"))
        self._held_back = ""
        self.failures = 0
        self.start_error = ""
        self._order_lock = threading.Lock()
        self._order: tuple[tuple[str, ...], float] = (), float("-inf")

    def step(self) -> None:
        """Collect the processes that have ended, and start the studies whose turn it is."""
        for name, process in list(self._processes.items()):
            if process.has_ended:
                del self._processes[name]
                self._handle_end(name, process.describe_end())
        if self._max_studies:
            self._late_delivery.step()
        while (turn := self._choose_next()) is not None:
            try:
                # Before its turn is taken: a study that cannot start has had none.
                prepare_folder(self._home.locate_study(turn.record.name))
                if not self._start_process(turn):
                    return
                self.start_error = ""
            except OSError as error:  # such as a folder that cannot be written: no reason to keep others waiting
                self.start_error = f"no supervisor can be started: {error.strerror or type(error).__name__}"
                self._handle_end(turn.record.name, f"could not begin ({error})")

    def list_waiting(self) -> tuple[str, ...]:
        """Return the waiting studies in the order in which they will start; at most a second old."""
        with self._order_lock:  # of many requests at once, one puts a thousand studies in order
            ordered, at = self._order
            if time.monotonic() - at > _ORDER_AGE_S:
                found = self._read_queue()
                ordered = order_waiting(found.waiting, found.running, self._submissions.find_last_started_ms())
                self._order = ordered, time.monotonic()
            return ordered

    def forget_order(self) -> None:
        """Forget the order of the waiting studies; call it after a change of the queue."""
        with self._order_lock:
            self._order = (), float("-inf")

    @property
    def running(self) -> Sequence[str]:
        """The studies that have a process now."""
        return tuple(self._processes)

    def withdraw(self, name: str) -> None:
        """End a study's process that does not hold the study yet, so that it answers no request; the study waits."""
        process, lease = self._processes.get(name), self._leases.get(name)
        # Until the process continues it, the lease is this one's.
        if process is not None and lease is not None and self._queue.is_held(lease):
            process.terminate()
            process.wait(_GRACE_S)
            self._queue.release(lease)

    def cancel(self, name: str) -> None:
        """Cancel a study that has begun and that no process works on; wait for the end.

        A process does it, since it loads what a supervisor needs and delivers records to MLflow.

        Raises:
            ConflictError: if it cannot be cancelled in its state.
            StudyBusyError: if another process works on it.
            KerastudyError: if it fails otherwise, or takes too long.
        """
        process = SupervisorHandle(self._make_request(name, "cancel"))
        # Registered, so that a step does not start the study meanwhile, and `stop` ends the process too.
        self._cancelling[name] = process
        try:
            if not process.wait(_CANCEL_S):
                process.kill()
                raise KerastudyError(f"{name} was not cancelled within {_CANCEL_S:.0f} s; see {process.log}")
            if (failure := process.take_failure()) is not None:
                raise failure.to_error()
        finally:
            del self._cancelling[name]
            process.close()

    def stop(self) -> None:
        """Put every running study back into the queue, and wait until that is done."""
        processes = [*self._processes.values(), *self._cancelling.values()]
        for process in processes:
            process.terminate()
        self._late_delivery.stop(_GRACE_S)
        deadline = time.monotonic() + _GRACE_S
        # One deadline for all, after all were requested to end: one after the other, each would take its time.
        for process in processes:
            if not process.wait(deadline - time.monotonic()):
                process.kill()  # the next service finds the study cut off, and goes on
            process.close()
        self._processes.clear()

    def _choose_next(self) -> _Turn | None:
        if len(self._processes) >= self._max_studies:
            return None
        number = self._turns.read()  # before the queue: a turn in between is noticed
        found = self._read_queue()
        if not found.waiting or len(self._processes) + found.foreground >= self._max_studies:
            return None
        if self._hold_back(found.waiting):
            return None
        now = time.monotonic()
        ready = [each for each in found.waiting if self._attempts.get(each.study, _Attempts()).not_before <= now]
        last_started_ms = self._submissions.find_last_started_ms()
        chosen = choose_next_study(ready, found.running, self._read_quotas(), last_started_ms)
        return None if chosen is None else _Turn(number, found.records[chosen.study], chosen.trials_at_once)

    def _hold_back(self, waiting: Sequence[WaitingStudy]) -> bool:
        """Return whether no study may start because of the home's quota; the waiting ones state the reason."""
        reason = self._quota.find_reason()
        if reason != self._held_back:
            for each in waiting:
                record = self._queue.find(each.study)
                if record is not None and record.state == "queued" and record.reason in ("", self._held_back):
                    self._queue.set_state(each.study, "queued", reason)
            self._held_back = reason
        return bool(reason)

    def _read_queue(self) -> StudyRound:
        with self._rounds_lock:
            return self._rounds.read(frozenset(self._processes), frozenset(self._cancelling))

    def _read_quotas(self) -> Mapping[str, int]:
        return {each.id: each.running_trials for each in self._accounts.list() if each.running_trials is not None}

    def _start_process(self, turn: _Turn) -> bool:
        """Lease a study and start its process; return whether no other host was faster."""
        name = turn.record.name
        lease = self._turns.take(turn.number, turn.record, identify_process(), LEASE_TTL_S, turn.trials_at_once)
        if lease is None:
            return False  # the next round reads the queue again
        self._leases[name] = lease
        self._processes[name] = SupervisorHandle(self._make_request(name, "run", turn.trials_at_once, lease.token))
        return True

    def _make_request(self, name: str, task: Task, max_trials: int | None = None, lease: str = "") -> SupervisorRequest:
        limits = self._limits
        return SupervisorRequest(
            name,
            str(self._home.folder),
            self._home.store,
            task,
            max_trials,
            limits.workers,
            limits.data_s,
            limits.memory,
            self._list_withheld_aliases(name),
            limits.home,
            lease,
            limits.check_s,
        )

    def _list_withheld_aliases(self, name: str) -> tuple[str, ...]:
        """Return the protected aliases that the submitter of a study may not move."""
        submission = self._submissions.find(name) if self._limits.protected_aliases else None
        # Whoever submits on the home itself is the operator.
        if submission is None or submission.submitter_id.startswith(LOCAL_USER):
            return ()
        account = self._accounts.find_by_id(submission.submitter_id)
        if account is not None and account.scope == "admin":
            return ()
        try:
            registered = load_record(self._queue.get(name)).registered_name
        except InputError:  # its process reports it
            return self._limits.protected_aliases
        with self._store.read() as connection:
            grant = ModelGrants(self._store).find(registered, submission.submitter_id, connection)
        return () if grant is not None and grant.moves_protected else self._limits.protected_aliases

    def _handle_end(self, name: str, how: str) -> None:
        """Let a study whose process ended too early start again, later each time, and pause it in the end."""
        if (lease := self._leases.pop(name, None)) is not None:
            self._queue.release(lease)  # unless the process has continued it
        record = self._queue.find(name)
        if record is None or record.state not in WAITING_STATES:
            self._attempts.pop(name, None)
            return
        if record.holder is not None:  # another host took it over
            return
        self.failures += 1
        _log.warning("the supervisor %s", how, extra={"study": name})
        attempts = self._attempts.setdefault(name, _Attempts())
        counts = StudyReader(self._home, self._store).read_study(name).trials
        trials = sum(count for state, count in counts.items() if state != "running")
        # A trial that ended since the last failure is a step forward, so a long study may fail often.
        attempts.failed = 1 if trials > attempts.trials else attempts.failed + 1
        attempts.trials = trials
        attempts.not_before = time.monotonic() + min(_LONGEST_PAUSE_S, 2.0 ** (attempts.failed - 1))
        if attempts.failed >= _MAX_ATTEMPTS:
            del self._attempts[name]
            log = self._home.locate_study(name) / LOG_FILE
            reason = f"its supervisor {how}, {_MAX_ATTEMPTS} times without a step forward; see {log}"
            self._queue.set_state(name, "paused", reason)
