"""Room that a home's files take: by part, and by submitter."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from pipelines.integrations.oracle_names import read_goal
from pipelines.spec.home_rules import QuotaSpec
from pipelines.workspace.home import Home
from pipelines.workspace.trees import measure_tree
from tracking.store.database import Store
from tracking.store.study_queue import ENDED_STATES, StudyQueue
from tracking.store.submissions import Submissions

_WAITING = ("queued", "preparing")
_OPERATOR = "(on the home itself)"
_DATABASES = ("kerastudy.db", "mlflow.db")
# Measuring takes at most a twentieth of the time, and at least so long apart.
_LEAST_S = 30.0
_SHARE = 20


@dataclass(frozen=True)
class SubmitterUsage:
    """Studies of one submitter, with the size of their folders."""

    submitter: str
    studies: int
    waiting: int
    bytes: int
    submitter_id: str = field(default="", repr=False)


@dataclass(frozen=True)
class HomeUsage:
    """Room that a home takes.

    Attributes:
        parts: bytes of each part: studies, MLflow's files, uploads, programs, databases, the rest.
        submitters: the largest first.
        quotas: limits in bytes and studies that hold here; None for no limit.
    """

    bytes: int
    parts: Mapping[str, int]
    submitters: tuple[SubmitterUsage, ...]
    home_quota: int | None = None
    submitter_quota: int | None = None
    waiting_quota: int | None = None


class UsageMeter:
    """Measurements of one home; those of studies that have ended are measured once.

    Args:
        home: the home.
        store: its store.
        quotas: limits to state with the measurements.
    """

    def __init__(self, home: Home, store: Store, quotas: QuotaSpec) -> None:
        self._home = home
        self._store = store
        self._quotas = quotas
        self._sizes: dict[tuple[str, int, int | None], int] = {}
        self._lock = threading.Lock()
        self._latest: HomeUsage | None = None
        self._next_s = 0.0

    def measure(self) -> HomeUsage:
        """Return the room that the home takes now."""
        submitters = self._measure_submitters()
        parts = self._measure_parts()
        quotas = self._quotas
        return HomeUsage(sum(parts.values()), parts, submitters, quotas.home, quotas.submitter, quotas.queued)

    def read(self) -> HomeUsage:
        """Return a measurement that is at most half a minute old, or older where measuring takes long."""
        with self._lock:
            if self._latest is None or time.monotonic() >= self._next_s:
                began_s = time.monotonic()
                self._latest = self.measure()
                ended_s = time.monotonic()
                self._next_s = ended_s + max(_LEAST_S, _SHARE * (ended_s - began_s))
            return self._latest

    def _measure_parts(self) -> dict[str, int]:
        parts = {"studies": 0, "mlartifacts": 0, "uploads": 0, "programs": 0, "databases": 0, "other": 0}
        for path in self._home.folder.iterdir() if self._home.folder.is_dir() else ():
            is_database = path.name.startswith(_DATABASES)
            part = "databases" if is_database else path.name if path.name in parts else "other"
            parts[part] += measure_tree(path)
        return parts

    def _measure_submitters(self) -> tuple[SubmitterUsage, ...]:
        records = [record for record in StudyQueue(self._store).list() if not read_goal(record)]
        submitted = {each.study: each for each in Submissions(self._store).list()}
        found: dict[str, SubmitterUsage] = {}
        sizes = {}
        for record in records:
            key = record.name, record.since_ms, record.archived_ms
            size = self._sizes.get(key)
            if size is None:
                size = measure_tree(self._home.locate_study(record.name))
            if record.state in ENDED_STATES and record.holder is None:
                sizes[key] = size
            submission = submitted.get(record.name)
            name, id_ = (submission.submitter, submission.submitter_id) if submission else (_OPERATOR, "")
            before = found.get(id_, SubmitterUsage(name, 0, 0, 0, id_))
            waiting = before.waiting + (record.state in _WAITING)
            found[id_] = SubmitterUsage(name, before.studies + 1, waiting, before.bytes + size, id_)
        self._sizes = sizes
        return tuple(sorted(found.values(), key=lambda each: (-each.bytes, each.submitter)))
