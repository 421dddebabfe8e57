"""Notifications of a study's end or its new best trial: a signed POST, or a command of the operator's.

The store keeps the position in the study's events up to which notifications were sent. So one is also sent after a
restart, and sent twice only where the service was killed in between. A receiver that does not answer is tried five
times; then the notification is dropped, with a line in the service's log.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from pipelines.service.config import NotificationKind, NotifySpec
from pipelines.supervisor.event_log import StoredEvent, read_events_after
from pipelines.workspace.home import Home
from tracking.store.database import Store, now_ms
from tracking.store.submissions import Submission, Submissions

SIGNATURE = "X-Kerastudy-Signature"
_ATTEMPTS = 5  # with pauses of 1, 2, 4 and 8 seconds
_TIMEOUT_S = 10.0
_COMMAND_S = 60.0  # a command that hangs would hold up all later notifications
_LOOK_EVERY_S = 1.0
_STALE_MS = 86_400_000  # a day: after a long stop of the service, nobody needs last week's news
_OF_STATE: Mapping[str, NotificationKind] = {"finished": "finished", "failed": "failed"}
_log = logging.getLogger("kerastudy.service")


class _DeliveryError(Exception):
    """A receiver did not accept a notification."""


class Notifier:
    """Thread that reads the events of the service's studies and sends notifications to the receivers of their kind."""

    def __init__(self, home: Home, store: Store, receivers: Sequence[NotifySpec]) -> None:
        self._home = home
        self._submissions = Submissions(store)
        self._receivers = receivers
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="notifications", daemon=True)

    def start(self) -> None:
        """Start the thread, if there are receivers."""
        if self._receivers:
            self._thread.start()

    def stop(self) -> None:
        """Stop sending; notifications that wait are sent after the next start."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(_TIMEOUT_S)

    def step(self) -> None:
        """Send the new notifications of every study."""
        for submission in self._submissions.list():
            for event in read_events_after(self._home, submission.study, submission.notified_bytes):
                if self._ended.is_set():
                    return
                if (notification := _make_notification(submission, event)) is not None:
                    self._send(notification)
                # After sending: a kill in between sends it twice, the other way round it would be lost.
                self._submissions.record_notified(submission.study, event.id)

    def _run(self) -> None:
        while not self._ended.wait(_LOOK_EVERY_S):
            try:
                self.step()
            except Exception:
                _log.exception("reading the events failed; it is tried again")
                self._ended.wait(_TIMEOUT_S)

    def _sleep(self, seconds: float) -> None:
        self._ended.wait(seconds)

    def _send(self, notification: Mapping[str, Any]) -> None:
        for receiver in self._receivers:
            if notification["kind"] not in receiver.on:
                continue
            tries = Retrying(
                stop=stop_after_attempt(_ATTEMPTS),
                wait=wait_exponential(max=30.0),
                retry=retry_if_exception_type(_DeliveryError),
                # tenacity's sleep cannot be ended by `stop`.
                sleep=self._sleep,
            )
            try:
                tries(_send_to, receiver, json.dumps(notification).encode())
            except RetryError as error:
                # Dropped, so that one dead receiver does not hold up the others for ever.
                why = error.last_attempt.exception()
                _log.warning(
                    "the notification %s of %s was dropped: %s", notification["kind"], notification["study"], why
                )


def _make_notification(submission: Submission, event: StoredEvent) -> Mapping[str, Any] | None:
    """Return the notification of an event; None for an event without one, or one that is a day old."""
    kind: NotificationKind | None = None
    if event.kind == "study-ended":
        kind = _OF_STATE.get(event.content.get("state", ""))
    elif event.kind == "trial-ended" and event.content.get("is_best"):
        kind = "new_best"
    if kind is None or now_ms() - event.content.get("at", 0) > _STALE_MS:
        return None
    return {**event.content, "kind": kind, "study": submission.study, "submitter": submission.submitter}


def _send_to(receiver: NotifySpec, body: bytes) -> None:
    try:
        if receiver.webhook is not None:
            headers = {"Content-Type": "application/json", **_sign(receiver.secret_file, body)}
            # No redirects, which is httpx's default: they could lead the body to an internal address.
            httpx.post(receiver.webhook, content=body, headers=headers, timeout=_TIMEOUT_S).raise_for_status()
        elif receiver.command is not None:
            # A list and no shell, and the names of studies on standard input: nothing of theirs is ever parsed as a
            # command.
            subprocess.run(receiver.command, input=body, timeout=_COMMAND_S, check=True, capture_output=True)
    except (httpx.HTTPError, OSError, subprocess.SubprocessError) as error:
        raise _DeliveryError(str(error)) from error


def _sign(secret_file: str | None, body: bytes) -> dict[str, str]:
    """Return the header that proves the sender and the time: `t=SECONDS,v1=HEX` over `SECONDS.BODY`."""
    if secret_file is None:
        return {}
    # Read each time, so that a changed secret needs no restart; editors end a file with a line feed.
    secret, at = Path(secret_file).read_bytes().strip(), str(int(time.time()))
    # The time is signed too, so that a receiver can refuse an old notification that is sent again.
    return {SIGNATURE: f"t={at},v1={hmac.new(secret, at.encode() + b'.' + body, hashlib.sha256).hexdigest()}"}
