"""A host that runs studies of a shared queue, without a service of its own.

Several of them, and a service, share a store on a database server, the home on storage that each has at the same path,
and an MLflow server. Which host runs a study is decided in the store, so hosts come and go: one that ends puts its
studies back, and those of one that is lost are taken over once their leases are over.
"""

from __future__ import annotations

import os
import platform
import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack

from pipelines.queries.hosts import count_hosts
from pipelines.service.config import ServiceSpec
from pipelines.service.monitoring.logs import log_service
from pipelines.service.monitoring.readiness import UpkeepClock, check_folder
from pipelines.service.supervisors.supervisor_pool import SupervisorPool
from pipelines.service.supervisors.supervisor_process import STORE_PATIENCE_S
from pipelines.service.supervisors.upkeep import HostPresence, UpkeepThread
from pipelines.workspace.home import Home
from search_spaces.errors import InputError, KerastudyError
from tracking.mlflow.urls import hide_password, resolve_tracking_uri
from tracking.store.database import Store
from tracking.store.home_mark import check_home


def run_host(home: Home, spec: ServiceSpec, print_line: Callable[[str], None]) -> None:
    """Run queued studies until SIGINT or SIGTERM; those that run then are put back into the queue.

    Args:
        home: the shared home.
        spec: the operator's settings; of those, the limits of studies.
        print_line: prints a line for the operator.

    Raises:
        InputError: if the store or MLflow cannot be shared by several hosts, this is not the home of the store, or no
            study may run here.
        KerastudyError: if the store cannot be opened.
    """
    check_is_shareable(home)
    if not spec.studies:
        raise InputError(
            "studies: expected how many studies run on this host at a time, got 0; set --studies 1 or more"
        )
    stopped = threading.Event()
    with ExitStack() as stack:
        store = stack.enter_context(Store.open(home.store, patience_s=STORE_PATIENCE_S))
        open_home(home, store)
        stack.enter_context(log_service(home.folder, spec.logs, name=f"supervise-{platform.node()}.log"))
        for number in (signal.SIGINT, signal.SIGTERM):
            before = signal.signal(number, lambda *_: stopped.set())
            stack.callback(signal.signal, number, before)
        pool = SupervisorPool(home, store, spec.studies, spec.study_limits)
        upkeep = UpkeepThread(pool, HostPresence(store, spec.studies), UpkeepClock())
        print_line(f"{platform.node()} runs up to {spec.studies} studies of {store} at a time, in {home.folder}")
        print_line(f"  MLflow: {hide_password(resolve_tracking_uri(home.folder, os.environ))}")
        print_line("Ctrl-C and SIGTERM put running studies back into the queue.")
        upkeep.start()
        try:
            # In short waits: a signal's handler runs between them on every platform.
            while not stopped.wait(1.0):
                pass
            print_line("putting running studies back")
        finally:
            upkeep.stop()


def check_is_shareable(home: Home) -> None:
    """Check what several hosts share.

    Raises:
        InputError: if the store or MLflow is a file, which several hosts must not write.
    """
    if "://" not in home.store or home.store.startswith("sqlite"):
        raise InputError(
            f"the store: expected a database server that every host reaches, got {home.store}: set "
            "KERASTUDY_STORE=postgresql://user@host/name; a single host runs its studies with kerastudy serve or run"
        )
    if not os.environ.get("MLFLOW_TRACKING_URI", "").strip():
        raise InputError(
            "MLflow: expected a server that every host reaches, got the file mlflow.db of the home: set "
            "MLFLOW_TRACKING_URI=http://host:5000"
        )


def open_home(home: Home, store: Store) -> None:
    """Check that a folder is the home of a store on a database server, and can be written.

    Raises:
        KerastudyError: if it is not.
    """
    states = count_hosts(store)
    check_home(store, home.folder, is_shared=bool(states.get("ready", 0) + states.get("draining", 0)))
    if reason := check_folder(home.folder / "studies"):
        raise KerastudyError(f"{home.folder}: {reason}: give this user the right to write there")
