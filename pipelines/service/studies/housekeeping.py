"""Housekeeping of a service: idle processes end, deletions that were cut off are completed, rules of retention run."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from pipelines.operations.delete import continue_deletions
from pipelines.operations.gc import collect_garbage
from pipelines.spec.home_rules import RetentionSpec
from pipelines.spec.units import format_bytes
from pipelines.workspace.home import Home
from search_spaces.errors import KerastudyError
from tracking.store.accounts import Identity
from tracking.store.audit import AuditLog
from tracking.store.database import Store
from tracking.store.deletions import Deletions

_STEP_S = 60.0
_DAY_S = 86_400.0
# Its time of change is that of the last run, also for a service that is restarted every day.
_FILE = "gc.last"
# Nobody: the operator's rules decided.
RETENTION = Identity("", "retention", "admin")
_log = logging.getLogger("kerastudy.housekeeping")


class Housekeeper:
    """Thread of the housekeeping.

    Args:
        home: the home.
        store: its store.
        rules: the rules of retention.
        audit_s: how long lines of the audit log are kept; None for ever.
        end_idle: ends processes that were kept for nobody; called every minute.
    """

    def __init__(
        self,
        home: Home,
        store: Store,
        rules: RetentionSpec,
        audit_s: float | None = None,
        end_idle: Callable[[], None] = lambda: None,
    ) -> None:
        self._home = home
        self._store = store
        self._rules = rules
        self._audit_s = audit_s
        self._end_idle = end_idle
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the present removal; what it has begun, the next service completes."""
        self._stopped.set()

    def step(self) -> None:
        """End idle processes, complete deletions, and run the rules if the last run is a day ago."""
        self._end_idle()
        if Deletions(self._store).list():
            for end in continue_deletions(self._home, self._store):
                if isinstance(end, KerastudyError):
                    _log.warning("a deletion is not complete: %s", end)
                else:
                    _log.info("%s is deleted", end.study)
        if self._is_due():
            self._collect()

    def _run(self) -> None:
        while not self._stopped.wait(_STEP_S):
            try:
                self.step()
            except Exception:  # a store that is away comes back
                _log.exception("housekeeping failed; it is tried again in a minute")

    def _is_due(self) -> bool:
        file = self._home.folder / _FILE
        return not file.exists() or time.time() - file.stat().st_mtime >= _DAY_S

    def _collect(self) -> None:
        audit = AuditLog(self._store)
        if self._audit_s is not None:
            audit.prune(self._audit_s)
        done = collect_garbage(self._home, self._rules)
        for each in done.removed:
            _log.info("removed %s %s (%s): %s", each.kind, each.what, format_bytes(each.bytes), each.reason)
            audit.record("retention", each.what, RETENTION, details=f"{each.kind}: {each.reason}")
        for failure in done.failures:
            _log.warning("not removed: %s", failure)
        (self._home.folder / _FILE).write_text(f"{len(done.removed)} items, {format_bytes(done.freed_bytes)}\n")
