"""Process that delivers one study's records to MLflow, beside the study's supervisor.

The supervisor holds the other end of standard input (`delivery_handle.py`): a request, then commands, a line of JSON
each. Its end is the supervisor's end, also after kill -9. Standard output returns errors and log records likewise.
"""

from __future__ import annotations

import gc
import importlib
import json
import logging
import os
import queue
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tracking.imports.late_modules import import_late
from tracking.timings.spans import DELIVERY
from tracking.timings.stopwatch import Times, measure, time_thread

if TYPE_CHECKING:
    from tracking.outbox.dispatcher import OutboxDispatcher
    from tracking.outbox.sink import RecordSink


# MLflow imports them for data sets, signatures of tables and gateways.
_LATE = ("pandas", "pyarrow", "scipy", "scipy.sparse", "fastapi", "mako.ext.pygmentplugin")
_OBJECTS = (
    20_000  # chosen: while MLflow is imported, looking for garbage after each 700 new ones takes a sixth of the time
)


@dataclass(frozen=True)
class DeliveryRequest:
    """Work of one delivery process.

    Attributes:
        study: the study whose rows are delivered.
        lease: token of the lease that allows it.
        store: address of the store, a folder or a URL.
        tracking_uri: see `tracking.mlflow.urls`.
        artifact_root: see `tracking.mlflow.urls`.
        timings: see `Times.origin`.
    """

    study: str
    lease: str
    store: str
    tracking_uri: str
    artifact_root: str | None
    timings: tuple[str, float] | None = None


def main() -> None:
    """Deliver until the supervisor requests the end, and end the process."""
    status = 1
    gc.set_threshold(_OBJECTS, *gc.get_threshold()[1:])
    answers = os.dup(1)
    os.dup2(2, 1)  # what libraries print must not reach the supervisor
    try:
        _deliver(DeliveryRequest(**json.loads(sys.stdin.readline())), answers)
        status = 0
    except Exception as error:  # outermost boundary: the supervisor shows it, and starts another process
        _send(answers, error=f"delivery to MLflow: {type(error).__name__}: {error}")
    finally:
        # At once: a request that hangs holds a thread, and Python needs long to free all modules.
        os._exit(status)


def _deliver(request: DeliveryRequest, answers: int) -> None:
    if request.timings is None:
        _deliver_until_stopped(request, answers)
        return
    folder, started = request.timings
    times = Times(started)
    times.keep_in(Path(folder))
    with time_thread(times, DELIVERY):
        _deliver_until_stopped(request, answers)
    times.flush()


def _deliver_until_stopped(request: DeliveryRequest, answers: int) -> None:
    with measure("importing"):
        dispatcher = _make_dispatcher(request, answers)
    stops: queue.SimpleQueue[float] = queue.SimpleQueue()
    threading.Thread(target=_obey, args=(dispatcher, stops), name="supervisor", daemon=True).start()
    dispatcher.start()
    _send(answers, error="")  # in place of how an earlier process ended
    dispatcher.stop(stops.get())


def _make_dispatcher(request: DeliveryRequest, answers: int) -> OutboxDispatcher:
    # Here, so that an error of an import reaches the supervisor.
    from tracking.mlflow.sink import make_sink_factory
    from tracking.outbox.dispatcher import OutboxDispatcher
    from tracking.store.database import Store
    from tracking.store.model_digests import ModelDigests
    from tracking.store.study_queue import StudyQueue

    logging.getLogger("tracking").addHandler(_Forwarder(answers))
    store = Store.open(request.store)
    connect = make_sink_factory(
        request.tracking_uri,
        namespace=store.identity,
        artifact_root=request.artifact_root,
        digests=ModelDigests(store),
    )

    def connect_lean(check: Callable[[], None]) -> RecordSink:
        load_projection()
        return connect(check)

    dispatcher = OutboxDispatcher(
        store,
        connect_lean,
        study=request.study,
        may_deliver=partial(StudyQueue(store).has_token, request.study, request.lease),
        on_change=lambda: _send(answers, error=dispatcher.last_error, away=dispatcher.is_away),
    )
    return dispatcher


def load_projection() -> None:
    """Import MLflow without libraries that a delivery does not need: a third of its time.

    For a process of which no other thread imports anything: it would get the stand-ins too.
    """
    with import_late(*_LATE):
        importlib.import_module("tracking.mlflow.projection")


def _obey(dispatcher: OutboxDispatcher, stops: queue.SimpleQueue[float]) -> None:
    """Follow the supervisor's commands, and end this process with it."""
    for line in sys.stdin:
        command = json.loads(line)
        if "stop" in command:
            stops.put(command["stop"])
        else:
            dispatcher.hurry()
    os._exit(0)


class _Forwarder(logging.Handler):
    """Handler that sends records to the supervisor, whose interface has chosen where they go."""

    def __init__(self, answers: int) -> None:
        super().__init__()
        self._answers = answers

    def emit(self, record: logging.LogRecord) -> None:
        _send(self._answers, level=record.levelno, message=self.format(record))


def _send(answers: int, **content: object) -> None:
    os.write(answers, json.dumps(content).encode() + b"\n")
