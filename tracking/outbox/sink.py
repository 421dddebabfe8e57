"""The seam between the outbox and where its rows go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from tracking.outbox.records import Record, StudyOpened

Severity = Literal["outage", "unclear", "refused"]


class DeliveryEndedError(Exception):
    """This process may deliver no more: it was told to stop, or the study is another process's now."""


class Deliverer(Protocol):
    """Where rows go."""

    def remember(self, opened: StudyOpened) -> None:
        """Take note of a study whose `StudyOpened` was delivered by an earlier process."""

    def deliver(self, records: Sequence[Record]) -> None:
        """Deliver records in their order; delivering any of them again must change nothing."""

    def severity(self, error: Exception) -> Severity:
        """Say whether an error of `deliver` is an outage, the record's own fault, or could be either."""
