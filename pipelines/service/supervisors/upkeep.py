"""Thread that starts studies in their turn on this host, and shows the other hosts that it is alive."""

from __future__ import annotations

import importlib.metadata
import logging
import threading
import time
from contextlib import suppress

from sqlalchemy.exc import SQLAlchemyError

from pipelines.service.monitoring.readiness import UpkeepClock
from pipelines.service.supervisors.supervisor_pool import SupervisorPool
from tracking.mlflow.server import MlflowServer
from tracking.store.database import Store
from tracking.store.processes import identify_process
from tracking.store.supervisors import SEEN_EVERY_S, Supervisors, SupervisorState

_STEP_S = 0.5  # a submitted study starts within this time; a step is a few queries
_RETRY_S = 5.0
_log = logging.getLogger("kerastudy.service")


class HostPresence:
    """Row of this process among those that run studies.

    Args:
        store: the database of the studies.
        studies: most studies that run here at a time; without any, there is no row.
    """

    def __init__(self, store: Store, studies: int) -> None:
        self._table = Supervisors(store)
        self._studies = studies
        self._id = ""
        self._signed_at = float("-inf")

    def sign_if_due(self) -> None:
        """Add the row, or renew it where its last sign of life is ten seconds ago."""
        if self._studies and time.monotonic() - self._signed_at >= SEEN_EVERY_S:
            self._sign("ready")

    def drain(self) -> None:
        """Show that the studies are put back into the queue, and no further one starts."""
        with suppress(SQLAlchemyError):
            if self._id:
                self._sign("draining")

    def leave(self) -> None:
        """Remove the row."""
        with suppress(SQLAlchemyError):
            if self._id:
                self._table.remove(self._id)

    def _sign(self, state: SupervisorState) -> None:
        # Again after a day of suspension, when other processes have forgotten this one.
        if not self._id or not self._table.sign(self._id, state):
            version = importlib.metadata.version("kerastudy")
            self._id = self._table.register(identify_process(), version, self._studies)
        self._signed_at = time.monotonic()


class UpkeepThread:
    """Thread that starts studies in their turn and keeps MLflow's UI running.

    Args:
        supervisors: the processes of this host's studies.
        presence: this host's row.
        clock: receives every round.
        mlflow: the service's MLflow server; None where it runs none.
    """

    def __init__(
        self,
        supervisors: SupervisorPool,
        presence: HostPresence,
        clock: UpkeepClock,
        mlflow: MlflowServer | None = None,
    ) -> None:
        self._supervisors = supervisors
        self._presence = presence
        self._clock = clock
        self._mlflow = mlflow
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)

    def start(self) -> None:
        """Begin the rounds."""
        self._thread.start()

    def stop(self) -> None:
        """Put running studies back into the queue and end MLflow's UI."""
        self._stopped.set()
        # First, or a step could start a study that nobody ends.
        self._thread.join()
        self._presence.drain()
        self._supervisors.stop()
        self._presence.leave()
        if self._mlflow is not None:
            self._mlflow.stop()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._supervisors.step()
                self._presence.sign_if_due()
                if self._mlflow is not None:
                    self._mlflow.ensure_running()
                self._clock.record_round()
            except Exception:  # a store that is away comes back
                _log.exception("a round of the service failed; the next one follows")
                # An outage would otherwise fill the log with two tracebacks a second.
                self._stopped.wait(_RETRY_S)
            self._stopped.wait(_STEP_S)
