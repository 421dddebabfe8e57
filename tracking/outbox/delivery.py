"""Protocol of a delivery: what takes the rows of one study to a record sink while its supervisor works."""

from __future__ import annotations

from typing import Protocol

from tracking.outbox.outbox import Backlog


class Delivery(Protocol):
    """Delivery of the rows of one study.

    Attributes:
        last_error: the latest error; empty after a delivery.
        is_away: whether the last attempt found the sink away: a refusal is an answer.
    """

    last_error: str
    is_away: bool

    def start(self, within_s: float = 0.0) -> None:
        """Start within so many seconds; a further call may shorten that, and does nothing else."""

    def hurry(self) -> None:
        """End the wait of `stop`; safe to call from a signal handler."""

    def stop(self, flush_s: float) -> Backlog:
        """Deliver waiting rows for at most `flush_s` seconds, end the delivery, and return the backlog.

        Nothing is sent or written after it has returned; safe to call again.
        """
