"""A study from its checked file to a supervisor at work: what every door that runs a study goes through."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from functools import partial

from pipelines.data.prepared import DataSummary, read_summary
from pipelines.engines.local_engine import LocalEngine
from pipelines.operations.submit import check_study, enqueue, find_known_study
from pipelines.study.load import Study
from pipelines.supervisor.fleet_planner import unfit
from pipelines.supervisor.supervisor import Supervisor
from pipelines.workspace.home import Home
from tracking.mlflow import urls
from tracking.outbox.outbox import OutboxDispatcher
from tracking.reports.plots import load_libraries
from tracking.store.database import Store
from tracking.store.study_queue import ControlRequest


@contextmanager
def supervise(
    study: Study,
    home: Home,
    trying: AbstractContextManager[object] | None = None,
    *,
    evolve: bool = False,
    own_process: bool = False,
) -> Iterator[Supervisor]:
    """Try a study's data and model, put it in the queue, and yield its supervisor; end its workers at the end.

    `trying` is entered while data and model are tried; with `evolve`, a study goes on in a changed space. In its
    `own_process`, which does nothing besides, libraries that nobody asks for are left out.

    Raises:
        InputError: if its data or model cannot be used, or the study exists and searches something else.
    """
    known = find_known_study(study, home, evolve=evolve)
    with closing(LocalEngine(study.spec.resources.workers, home.programs, user_code=study.has_user_model)) as engine:
        if not unfit(study):
            engine.warm("jax")
        with trying or nullcontext(), _load_in_background(partial(load_libraries, lean=own_process)):
            checked = check_study(study, home.study(study.name), engine, known)
        with Store.open(home.store) as store:
            enqueue(study, checked.summary, store, evolve=evolve)
            yield _make_supervisor(study, checked.summary, home, store, engine)


@contextmanager
def _load_in_background(load: Callable[[], None]) -> Iterator[None]:
    """Load modules in a thread meanwhile; what fails to load fails again where it is needed.

    It is waited for where all went well: an error is told at once.
    """

    def run() -> None:
        with suppress(ImportError):
            load()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield
    thread.join()


@contextmanager
def supervise_cancellation(study: Study, home: Home) -> Iterator[Supervisor]:
    """Yield a supervisor that ends a study which nobody works on, and trains nothing more."""
    with closing(LocalEngine(1)) as engine, Store.open(home.store) as store:
        yield _make_supervisor(study, read_summary(home.data(study.name)), home, store, engine, control_request="cancel")


def _make_supervisor(
    study: Study, summary: DataSummary, home: Home, store: Store, engine: LocalEngine, control_request: ControlRequest | None = None
) -> Supervisor:
    def may_deliver() -> bool:
        return supervisor.is_in_charge()

    delivery = OutboxDispatcher(
        store,
        urls.resolve(home.folder, os.environ),
        artifact_root=urls.artifact_root(home.folder, os.environ),
        study=study.name,
        may_deliver=may_deliver,
    )
    supervisor = Supervisor(study, summary, home, store, engine, delivery, control_request=control_request)
    return supervisor
