"""Protocol of a record sink: the destination of the outbox's rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from tracking.outbox.records import Record, StudyOpened

Severity = Literal["outage", "unclear", "refused"]
"""An outage is waited for; a refused record is set aside after a few attempts; anything unclear after more."""


class DeliveryEndedError(Exception):
    """This process may deliver no more: it was stopped, or another process works on the study now."""


class RefusedPartsError(Exception):
    """The destination refused parts of records, and took all others; the message is for a person."""


class RecordSink(Protocol):
    """Destination of records, such as MLflow.

    Attributes:
        trials_together: most trials whose records are delivered together.
    """

    trials_together: int

    def remember(self, opened: StudyOpened) -> None:
        """Remember a study whose `StudyOpened` was delivered by an earlier process."""

    def deliver(self, records: Sequence[Record]) -> None:
        """Deliver records in order; to deliver one of them again must change nothing."""

    def classify_error(self, error: Exception) -> Severity:
        """Return whether an error of `deliver` is an outage, a fault of the record, or unclear."""


SinkFactory = Callable[[Callable[[], None]], RecordSink]
"""Connects to a sink. The argument is called before each request; it raises `DeliveryEndedError` to prevent it."""
