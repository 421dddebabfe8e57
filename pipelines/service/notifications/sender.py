"""Notifications of a study's end or its new best trial, to receivers that do not depend on each other.

One thread collects notifications into the store; each receiver has a thread and a position there. A receiver that is
away is tried for a day, and one that refuses a notification five times; then it is dropped, with a line in the log.
Each is sent at least once: a second time only where the service was killed before it stored that it was taken.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Sequence

from tenacity import RetryError, Retrying, retry_if_exception_type, wait_exponential

from pipelines.service.config import NotifySpec
from pipelines.service.notifications.event_collector import EventCollector, Observer
from pipelines.service.notifications.receivers import RefusedError, UnreachableError, name_receivers, send_notification
from pipelines.workspace.home import Home
from tracking.store.database import Store
from tracking.store.notifications import Notification, Notifications
from tracking.store.tables import now_ms

_ATTEMPTS = 5  # at a notification that is refused, with pauses of 1, 2, 4 and 8 seconds
_LONGEST_PAUSE_S = 300.0
_LOOK_EVERY_S = 1.0
_RETRY_S = 10.0
_STOP_S = 5.0
_STALE_MS = 86_400_000  # a day: nobody needs last week's news
_MOST_WAITING = 1000
_log = logging.getLogger("kerastudy.notifications")


class Notifier:
    """Thread that collects the events of the service's studies, and a thread for each receiver.

    Args:
        receivers: the operator's; those that are new get what happens from now on.
        observe: called with each event of a study that happens from the start on.
    """

    def __init__(
        self, home: Home, store: Store, receivers: Sequence[NotifySpec], observe: Observer = lambda event: None
    ) -> None:
        self._collector = EventCollector(home, store, observe)
        self._notifications = Notifications(store)
        self._names = name_receivers(receivers)
        self._ended = threading.Event()
        self.deliveries = tuple(
            Delivery(f"notify[{index}]", name, spec, store, self._ended)
            for index, (name, spec) in enumerate(zip(self._names, receivers, strict=True))
        )
        self._threads = [threading.Thread(target=self._run, name="notifications", daemon=True)]
        self._threads += [threading.Thread(target=each.run, name=each.key, daemon=True) for each in self.deliveries]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop sending; notifications that wait are sent after the next start."""
        self._ended.set()
        self._wake()
        deadline = time.monotonic() + _STOP_S
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, deadline - time.monotonic()))

    def prepare(self) -> None:
        """Store what earlier services left for their receivers, and make these the receivers."""
        self._collector.catch_up()
        self._notifications.set_receivers(self._names)
        self._wake()

    def collect(self) -> None:
        """Store the new notifications, and wake the receivers."""
        if self._collector.collect(has_receivers=bool(self._names)):
            self._wake()

    def _wake(self) -> None:
        for delivery in self.deliveries:
            delivery.wake()

    def _run(self) -> None:
        is_prepared = False
        while not self._ended.wait(_LOOK_EVERY_S):
            try:
                if not is_prepared:
                    self.prepare()
                    is_prepared = True
                self.collect()
            except Exception:
                _log.exception("reading the events failed; it is tried again")
                self._ended.wait(_RETRY_S)


class Delivery:
    """Delivery of the notifications of one receiver, one after the other.

    Attributes:
        key: the receiver's place in `service.yaml`, for the log.
    """

    def __init__(self, key: str, name: str, spec: NotifySpec, store: Store, ended: threading.Event) -> None:
        self.key = key
        self._name = name
        self._spec = spec
        self._notifications = Notifications(store)
        self._store = store
        self._ended = ended
        self._news = threading.Event()

    def run(self) -> None:
        """Deliver until the service stops."""
        while not self._ended.is_set():
            self._news.clear()
            try:
                while self.deliver_next():
                    pass
            except Exception:
                _log.exception("%s: delivering failed; it is tried again", self.key)
                self._ended.wait(_RETRY_S)
            else:
                self._news.wait()

    def wake(self) -> None:
        """Let it look for notifications."""
        self._news.set()

    def deliver_next(self) -> bool:
        """Deliver the oldest notification that waits; return whether there was one, and the service goes on."""
        if dropped := self._notifications.drop_oldest(self._name, _MOST_WAITING):
            _log.warning(
                "%s: more than %d notifications waited; the oldest %d were dropped", self.key, _MOST_WAITING, dropped
            )
        notification = self._notifications.find_next(self._name)
        if notification is None or self._ended.is_set():
            return False
        if notification.kind in self._spec.on and not self._send(notification):
            return False
        # After sending: a kill in between sends it twice, the other way round it would be lost.
        self._notifications.record_taken(self._name, notification.id)
        return True

    def _send(self, notification: Notification) -> bool:
        """Send one until it is taken or dropped; return false if the service stops before."""
        body = json.dumps({**notification.content, "id": f"{self._store.identity}-{notification.id}"}).encode()
        refusals: list[RefusedError] = []
        tries = Retrying(
            stop=lambda _: self._ended.is_set() or len(refusals) == _ATTEMPTS or _is_stale(notification),
            wait=wait_exponential(max=_LONGEST_PAUSE_S),
            retry=retry_if_exception_type((UnreachableError, RefusedError)),
            # tenacity's sleep cannot be ended by `stop`.
            sleep=self._sleep,
        )
        try:
            tries(self._try_once, notification, body, refusals)
        except RetryError as error:
            if self._ended.is_set():
                return False
            why = error.last_attempt.exception()
            _log.warning("%s: %s was dropped: %s", self.key, _describe(notification), why, extra=_name(notification))
        return True

    def _try_once(self, notification: Notification, body: bytes, refusals: list[RefusedError]) -> None:
        try:
            send_notification(self._spec, body)
        except RefusedError as error:
            refusals.append(error)
            raise
        except UnreachableError as error:
            _log.info("%s: %s waits: %s", self.key, _describe(notification), error, extra=_name(notification))
            raise

    def _sleep(self, seconds: float) -> None:
        self._ended.wait(seconds)


def _is_stale(notification: Notification) -> bool:
    return now_ms() - notification.created_ms > _STALE_MS


def _describe(notification: Notification) -> str:
    return f'"{notification.kind}" of {notification.study}'


def _name(notification: Notification) -> dict[str, str]:
    return {"study": notification.study}
