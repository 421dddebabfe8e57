"""Requests of a fleet for the trials of its slots."""

from __future__ import annotations

import math
from collections.abc import Mapping

from pipelines.engines.base import Channel
from pipelines.training.fleet.messages import SlotsFree
from pipelines.training.messages import TrialJob, TrialOutcome


class TrialRequests:
    """Requests of a fleet for trials; at most one waits for its answer.

    An accelerator trains all slots at once, so all that are free are filled together, and nothing trains meanwhile.

    A CPU trains one slot after the other, so an empty one costs nothing. There the slots begin one by one, spread over
    the epochs of a trial, and while the next trial is drawn the others train. Its answer is taken a fixed number of
    epochs after its request, however soon it came, so that the trials of a study are drawn in the same order each time.

    Args:
        channel: connection to the supervisor.
        slots: number of the fleet's slots.
        spread: whether the slots begin one by one.
    """

    def __init__(self, channel: Channel, slots: int, *, spread: bool) -> None:
        self._channel = channel
        self._slots = slots
        self._spread = spread
        self._epoch = 0
        self._spacing = 0
        self._due: int | None = None
        self._requested = 0
        self._answer: tuple[TrialJob, ...] | None = None
        self._are_left = True

    @property
    def is_open(self) -> bool:
        """Whether a request waits for its answer."""
        return self._due is not None

    def begin(self, free: int, ended: Mapping[int, TrialOutcome]) -> bool:
        """Report trials that ended and request others for the free slots; return whether there was a reason to.

        Call it only while no request is open.
        """
        # After fewer trials than requested, there are others only once a running one has ended.
        if not (ended or (free and self._are_left)):
            return False
        self._requested = min(free, 1) if self._spread else free
        self._due = self._epoch + self._spacing
        self._channel.begin_request(SlotsFree(self._requested, dict(ended)))
        return True

    def receive(self, *, is_idle: bool) -> tuple[TrialJob, ...] | None:
        """Return the trials that a request was answered with; None while that is not due.

        Args:
            is_idle: whether no slot trains, so that there is nothing to wait for.
        """
        if self._due is None or not (is_idle or self._epoch >= self._due):
            return None
        self.fetch()
        given, self._answer, self._due = self._answer or (), None, None
        self._are_left = len(given) == self._requested
        return given

    def fetch(self) -> None:
        """Wait for the answer to a request that is open, and keep it until it is due."""
        if self.is_open and self._answer is None:
            self._answer = self._channel.receive_answer()

    def set_epochs(self, epochs: int) -> None:
        """Set the epochs of a trial that begins: over these the slots are spread."""
        self._spacing = math.ceil(epochs / self._slots) if self._spread else 0

    def count_epoch(self) -> None:
        """Count an epoch of the fleet."""
        self._epoch += 1
