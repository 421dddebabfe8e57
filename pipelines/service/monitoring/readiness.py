"""Readiness of the service: whether a request that it accepts now can be carried out, and else why not.

The reasons hold no path and no address, because `/readyz` needs no token.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from pipelines.queries.hosts import count_hosts
from pipelines.workspace.home import Home
from tracking.store.database import Store

_STORE_S: Final = 5.0
_UPKEEP_S: Final = 60.0  # a round takes milliseconds; the start of a process on a busy machine takes seconds
_LEAST_FREE_BYTES: Final = 500_000_000  # chosen: room for a study's prepared data and its models

Check = Callable[[], str]
"""Function that returns the reason why something is not ready; empty if it is."""


class Readiness:
    """Checks of the service.

    Args:
        further: more checks by name.
    """

    def __init__(self, home: Home, store: Store, further: Mapping[str, Check]) -> None:
        self._home = home
        self._store = store
        self._pool = ThreadPoolExecutor(1, "readiness")
        self._query: Future[None] | None = None
        self._checks: Mapping[str, Check] = {"store": self._check_store, "disk": self._check_disk, **further}

    def count_hosts(self) -> Mapping[str, int]:
        """Return how many processes run studies, on all hosts, by their state; nothing while the store is away."""
        try:
            return count_hosts(self._store)
        except SQLAlchemyError:
            return {}

    def check(self) -> Mapping[str, str]:
        """Return the reason why each part is not ready, by its name; empty for one that is."""
        return {name: check() for name, check in self._checks.items()}

    def _check_store(self) -> str:
        # In a thread: a database server behind a dead line answers after minutes. One query at a time waits for it.
        if self._query is None or self._query.done():
            self._query = self._pool.submit(self._read_store)
        try:
            self._query.result(_STORE_S)
        except TimeoutError:
            return f"the store has not answered for {_STORE_S:.0f} s"
        except SQLAlchemyError:
            return "the store does not answer"
        return ""

    def _read_store(self) -> None:
        with self._store.read() as connection:
            connection.exec_driver_sql("SELECT 1 FROM kerastudy_studies WHERE 1 = 0")

    def _check_disk(self) -> str:
        free = shutil.disk_usage(self._home.folder).free
        if free >= _LEAST_FREE_BYTES:
            return ""
        return f"{free // 10**6:,} MB are free on the home's disk, less than {_LEAST_FREE_BYTES // 10**6:,} MB"


class UpkeepClock:
    """Time of the latest round of the thread that starts studies."""

    def __init__(self) -> None:
        self._at: float | None = None

    def record_round(self) -> None:
        """Record that a round has succeeded now."""
        self._at = time.monotonic()

    def check(self) -> str:
        """Return why no study starts; empty if the latest round is recent."""
        if self._at is None:
            return "the thread that starts studies has not begun"
        age = time.monotonic() - self._at
        return "" if age < _UPKEEP_S else f"no study has been started or collected for {age:.0f} s"


def check_folder(folder: Path) -> str:
    """Return why no supervisor can be started for a study below a folder; empty if one can."""
    existing = folder if folder.exists() else folder.parent
    return "" if os.access(existing, os.W_OK | os.X_OK) else "the folder of the studies cannot be written"
