"""Quotas of a service, checked when a study is submitted."""

from __future__ import annotations

from sqlalchemy import Connection

from pipelines.queries.usage import HomeUsage, UsageMeter
from pipelines.service.errors import NoRoomError
from pipelines.spec.home_rules import QuotaSpec
from pipelines.spec.units import format_bytes
from pipelines.workspace.home import Home
from tracking.store.accounts import Identity
from tracking.store.database import Store
from tracking.store.submissions import Submissions


class Quotas:
    """Quotas of one home and its submitters.

    Args:
        home: the home.
        store: its store.
        spec: the limits.
    """

    def __init__(self, home: Home, store: Store, spec: QuotaSpec) -> None:
        self._spec = spec
        self._submissions = Submissions(store)
        self._meter = UsageMeter(home, store, spec)

    def read_usage(self) -> HomeUsage:
        """Return the room that the home takes, at most half a minute old."""
        return self._meter.read()

    def check_room(self, caller: Identity) -> None:
        """Check that a submitter may add a study to the home. It may take seconds.

        Raises:
            NoRoomError: if the home, or the submitter's studies, have reached their quota.
        """
        spec = self._spec
        if spec.home is None and spec.submitter is None:
            return
        usage = self._meter.read()
        if spec.home is not None and usage.bytes >= spec.home:
            raise NoRoomError(
                f"this service's home holds {format_bytes(usage.bytes)} of the {format_bytes(spec.home)} that it may: "
                "delete or archive studies, or let its operator make room"
            )
        mine = sum(each.bytes for each in usage.submitters if each.submitter_id == caller.id)
        if spec.submitter is not None and mine >= spec.submitter:
            raise NoRoomError(
                f"your studies hold {format_bytes(mine)} of the {format_bytes(spec.submitter)} that a submitter may: "
                "delete or archive some"
            )

    def check_waiting(self, caller: Identity, connection: Connection) -> None:
        """Check, at the end of the transaction of a submission, that a submitter may have so many waiting studies.

        Raises:
            NoRoomError: if too many wait already.
        """
        most = self._spec.queued
        if most is not None and self._submissions.count_waiting(caller.id, connection) > most:
            raise NoRoomError(f"{most} of your studies wait, and a submitter may have no more: wait, or cancel some")
