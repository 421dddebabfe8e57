"""Supervisor process of one study of a service.

The service holds the other end of standard input. When that closes, or at SIGTERM, the study is put back into the queue
with its running trials, and the next service on this home goes on with it.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Collection
from dataclasses import replace

from pipelines.engines.base import EngineLostError
from pipelines.engines.local_engine import LocalEngine, cores
from pipelines.operations.control import load_resumable
from pipelines.operations.first_backends import list_first_backends
from pipelines.operations.run import supervise, supervise_halt
from pipelines.operations.sync import SyncMonitor, sync
from pipelines.queries.record_reader import load_record
from pipelines.service.monitoring.logs import log_event, log_study
from pipelines.service.supervisors.preparation import Preparation, PreparationHaltedError
from pipelines.service.supervisors.supervisor_messages import (
    SupervisorFailure,
    SupervisorRequest,
    read_request,
    write_failure,
)
from pipelines.study.stored import is_unchecked
from pipelines.study.study import Study
from pipelines.supervisor.event_log import record_events
from pipelines.supervisor.events import StudyEnded
from pipelines.workspace.home import Home
from pipelines.workspace.quota import HomeQuota
from search_spaces.errors import InputError, KerastudyError
from tracking.mlflow.names import CHALLENGER
from tracking.store.database import Store
from tracking.store.study_queue import ControlRequest, StudyQueue, StudyRecord

_DELIVERY_PATIENCE_S = 60.0
STORE_PATIENCE_S = 60.0
"""How long a process that was started waits for a store that is away at that moment."""
SERVICE_STOPPED = "its supervisor was stopped with the service or the host; it goes on in its turn"


def main() -> None:
    """Do the work that the service requests on standard input, and end the process: 0 done, 1 failed."""
    status = 1
    # Registered first, called last. Python needs more than a second to free all modules; the system frees them at once.
    atexit.register(lambda: os._exit(status))
    request = read_request(sys.stdin.fileno())
    try:
        service = _ServiceLink()
        with log_study(request.study):
            if request.task == "cancel":
                cancel_study(request)
            elif request.task == "deliver":
                deliver_records(request)
            else:
                run_study(request, service)
        status = 0
    except Exception as error:  # the process's outermost boundary
        failure = SupervisorFailure.from_error(error)
        # A file: the service that started this process may be gone, and the next one reads it.
        write_failure(request.home.locate_study(request.study), failure)
        print(failure.message, file=sys.stderr, flush=True)
        if failure.kind == "defect":
            traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


class _ServiceLink:
    """Connection to the service that started this process.

    Attributes:
        has_stopped: whether the service has stopped.
        on_stop: called when the service stops; without it, this process ends at once.
    """

    def __init__(self) -> None:
        self.has_stopped = False
        self.on_stop: Callable[[], None] | None = None
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the service, which then ends this process
        # Before the thread below, which sends this signal.
        signal.signal(signal.SIGTERM, self._handle_stop)
        threading.Thread(target=self._watch, name="service", daemon=True).start()

    def _handle_stop(self, number: int, frame: object) -> None:
        self.has_stopped = True
        # No supervisor holds the study yet, so nothing is to be put back.
        if self.on_stop is None:
            raise SystemExit(0)
        self.on_stop()

    @staticmethod
    def _watch() -> None:
        # The service sends nothing more: only the end of the pipe ends this, also after kill -9.
        while os.read(0, 1024):
            pass
        # A signal, since its handler runs in the main thread, where the supervisor does.
        os.kill(os.getpid(), signal.SIGTERM)


def run_study(request: SupervisorRequest, service: _ServiceLink) -> None:
    """Work on a study until it ends or the service does.

    A study whose data or models cannot be used fails with that reason. One that has begun is paused, since it may be
    mended.

    Raises:
        StudyBusyError: if another process works on the study.
        KerastudyError: if the store cannot be used.
    """
    name = request.study
    with Store.open(request.store, patience_s=STORE_PATIENCE_S) as store:
        queue, preparation = StudyQueue(store), Preparation(request.home, store, name)
        # The states of other ends are set while the study is held: whoever waits for one sees no other.
        with preparation.hold(request.lease):
            try:
                study = _limit_study(load_record(queue.get(name)), request)
                quota = HomeQuota(request.home.folder, request.quota)
                ended = _supervise(study, request.home, service, preparation, quota)
            except PreparationHaltedError as halted:
                _obey(halted.control_request, queue.get(name), queue, request, preparation)
                return
            except InputError as error:
                # Here and not in the service, which may have been stopped meanwhile.
                queue.set_state(name, "failed" if is_unchecked(queue.get(name)) else "paused", str(error))
                raise
            except EngineLostError as error:
                if not is_unchecked(queue.get(name)):  # it has waited for its cluster, as a running study does
                    queue.set_state(name, "paused", str(error))
                raise
        # A study that a person has paused stays paused.
        if ended.state == "paused" and service.has_stopped:
            queue.set_state(name, "queued", SERVICE_STOPPED)


def _obey(
    control_request: ControlRequest,
    record: StudyRecord,
    queue: StudyQueue,
    request: SupervisorRequest,
    preparation: Preparation,
) -> None:
    """Pause or cancel a study whose preparation was ended for that."""
    if control_request == "pause":
        queue.set_state(record.name, "paused", "paused while its data was prepared; resume it to go on")
    elif is_unchecked(record):  # it has no trials to end
        queue.set_state(record.name, "cancelled", "cancelled on request")
    else:
        preparation.release()
        cancel_study(request)


def cancel_study(request: SupervisorRequest) -> None:
    """Cancel a study that has begun and that no process works on.

    Raises:
        ConflictError: if another process works on it, or it was cancelled.
        KerastudyError: if the store cannot be used.
    """
    with supervise_halt(load_resumable(request.home, request.study), request.home, "cancel") as supervisor:
        for _ in record_events(request.home, request.study, supervisor.run()):
            pass


def deliver_records(request: SupervisorRequest) -> None:
    """Deliver the records of a study that ended before MLflow had all.

    Raises:
        StudyBusyError: if another process works on it.
        KerastudyError: if the store cannot be used, or MLflow took none for a while.
    """
    for result in sync(request.home, [request.study], _DELIVERY_PATIENCE_S, SyncMonitor()):
        if result.left:
            raise KerastudyError(f"{result.left} records wait: {result.reason}")


def limit_resources(study: Study, max_trials: int | None, max_workers: int | None) -> Study:
    """Return the study with as many workers, and slots in a fleet, as it is allowed."""
    if max_workers is None and max_trials is None:
        return study
    resources = study.spec.resources
    most = None if resources.address else cores()  # a cluster has others
    limits = [limit or most for limit in (resources.workers, max_workers, max_trials)]
    workers = min(limit for limit in limits if limit is not None)
    fleet = resources.fleet
    if max_trials is not None and fleet != "off":
        slots = max_trials // workers
        fleet = "off" if slots < 2 else slots if fleet == "auto" else min(fleet, slots)
    # Resources are no part of a study's fingerprint, so it is the same study.
    limited = resources.model_copy(update={"workers": workers, "fleet": fleet})
    return Study(study.spec.model_copy(update={"resources": limited}), study.space, study.base, study.document)


def _limit_study(study: Study, request: SupervisorRequest) -> Study:
    limited = limit_resources(study, request.max_trials, request.max_workers)
    limited = limit_check(limited, request.max_data_s, request.max_memory, request.max_check_s)
    return withhold_alias(limited, request.withheld_aliases)


def withhold_alias(study: Study, withheld: Collection[str]) -> Study:
    """Return the study with `challenger` as the alias of its winner, where its own is withheld."""
    if study.spec.export.alias not in withheld:
        return study
    # How a winner is exported is no part of a study's fingerprint, so it is the same study.
    export = study.spec.export.model_copy(update={"alias": CHALLENGER})
    return replace(study, spec=study.spec.model_copy(update={"export": export}))


def limit_check(
    study: Study, max_data_s: float | None, max_memory: int | None, max_check_s: float | None = None
) -> Study:
    """Return the study with as much time for its data and its models' trial, and memory of a worker, as it may have."""
    limits = study.spec.limits
    update = {
        "data_time": min((each for each in (limits.data_time, max_data_s) if each is not None), default=None),
        "check_time": min((each for each in (limits.check_time, max_check_s) if each is not None), default=None),
        "memory": min((each for each in (limits.memory, max_memory) if each is not None), default=None),
    }
    # Limits are no part of a study's fingerprint, so it is the same study.
    return replace(study, spec=study.spec.model_copy(update={"limits": limits.model_copy(update=update)}))


def _supervise(
    study: Study, home: Home, service: _ServiceLink, preparation: Preparation, quota: HomeQuota
) -> StudyEnded:
    if study.spec.resources.engine == "local":
        # Worker servers import a backend while this process reads the store.
        engine = LocalEngine(user_code=study.has_user_model)
        for backend in list_first_backends(study):
            engine.warm(backend)
    with supervise(study, home, own_process=True, listener=preparation, quota=quota) as supervisor:
        supervisor.continue_lease(preparation.pass_on())
        if preparation.is_stop_requested:
            supervisor.stop()
        service.on_stop = supervisor.pause
        for event in record_events(home, study.name, supervisor.run()):
            log_event(event)
            last = event
    if not isinstance(last, StudyEnded):
        raise AssertionError("a supervisor's last event is StudyEnded")
    return last
