"""Works on one study of a service, in a process of its own.

The service holds the other end of standard input: when that closes, or at SIGTERM, the study is put back into the queue
with its running trials, and whoever serves the home next goes on with it.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

from pipelines.engines.local_engine import LocalEngine, cores
from pipelines.operations.run import supervised
from pipelines.operations.submit import is_unseen
from pipelines.queries.study_reader import loaded
from pipelines.study.load import Study
from pipelines.supervisor.event_log import recorded
from pipelines.supervisor.events import StudyEnded
from pipelines.workspace.home import Home
from search_spaces.errors import InputError
from tracking.store.database import Store
from tracking.store.study_queue import StudyQueue

WAITS = "the service has stopped; it goes on with this study when it starts again"


def run_study_process(name: str, home: Home, most_trials: int | None, most_workers: int | None) -> None:
    """Work on a study until it ends or the service does.

    A study whose data or models cannot be used fails with that reason; one that has begun is parked, since it
    may be mended.

    Args:
        name: the study.
        home: holds all state.
        most_trials: how many trials may train at once; any number if None.
        most_workers: how many worker processes there may be, whatever the file says.

    Raises:
        StudyBusyError: if somebody else works on the study.
        KerastudyError: if the store cannot be used.
    """
    service = _ServiceLink()
    with Store.open(home.store) as store:
        queue = StudyQueue(store)
        try:
            study = limit_resources(loaded(queue.get(name)), most_trials, most_workers)
            ended = _supervise(study, home, service)
        except InputError as error:
            queue.set_state(name, "failed" if is_unseen(queue.get(name)) else "parked", str(error))
            raise
        if ended.state == "parked" and service.has_stopped:
            queue.set_state(name, "queued", WAITS)


def limit_resources(study: Study, most_trials: int | None, most_workers: int | None) -> Study:
    """Return the study with so few workers, and seats in a fleet, that it keeps within what it is allowed."""
    resources = study.spec.resources
    workers = min(resources.workers or cores(), most_workers or cores(), most_trials or cores())
    if most_workers is None and most_trials is None:
        return study
    fleet = resources.fleet
    if most_trials is not None and fleet != "off":
        seats = most_trials // workers
        fleet = "off" if seats < 2 else seats if fleet == "auto" else min(fleet, seats)
    narrow = resources.model_copy(update={"workers": workers, "fleet": fleet})
    return Study(study.spec.model_copy(update={"resources": narrow}), study.space, study.base, study.document)


def _supervise(study: Study, home: Home, service: _ServiceLink) -> StudyEnded:
    LocalEngine(user_code=study.has_user_model).warm("tensorflow")
    with supervised(study, home, own_process=True) as supervisor:
        service.on_stop = supervisor.park
        for event in recorded(home, study.name, supervisor.run()):
            last = event
    if not isinstance(last, StudyEnded):
        raise AssertionError("a supervisor's last word is StudyEnded")
    return last


class _ServiceLink:
    """The service that began this process.

    Attributes:
        has_stopped: whether it has.
        on_stop: called when it does; without it, this process ends at once.
    """

    def __init__(self) -> None:
        self.has_stopped = False
        self.on_stop: Callable[[], None] | None = None
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the service's to hear
        signal.signal(signal.SIGTERM, self._handle_stop)
        threading.Thread(target=self._watch, name="service", daemon=True).start()

    def _handle_stop(self, number: int, frame: object) -> None:
        self.has_stopped = True
        if self.on_stop is None:
            raise SystemExit(0)
        self.on_stop()

    @staticmethod
    def _watch() -> None:
        while os.read(0, 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
