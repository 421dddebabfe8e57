"""Receivers of notifications: a signed POST, or a command of the operator's."""

from __future__ import annotations

import hashlib
import hmac
import json
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from pipelines.service.config import NotifySpec

SIGNATURE = "X-Kerastudy-Signature"
_TIMEOUT_S = 10.0
_COMMAND_S = 60.0
# Answers after which the same request may succeed later.
_LATER = (408, 425, 429)


class UnreachableError(Exception):
    """A receiver cannot take anything now."""


class RefusedError(Exception):
    """A receiver does not take this notification."""


def name_receivers(receivers: Sequence[NotifySpec]) -> tuple[str, ...]:
    """Return a name for each receiver, made of its destination alone: a changed secret or order is no new receiver."""
    names = []
    count = Counter[str]()
    for receiver in receivers:
        destination = json.dumps([receiver.webhook, receiver.command])
        digest = hashlib.sha256(destination.encode()).hexdigest()
        count[digest] += 1
        names.append(f"{digest}-{count[digest]}")
    return tuple(names)


def send_notification(receiver: NotifySpec, body: bytes) -> None:
    """Send a notification, and wait until its receiver has taken it.

    Raises:
        UnreachableError: if the receiver does not answer, has an error, or its secret or its program is not there.
        RefusedError: if it answers that it does not take this one, or its command fails.
    """
    try:
        if receiver.webhook is not None:
            _post(receiver.webhook, receiver.secret_file, body)
        elif receiver.command is not None:
            # A list and no shell, and the names of studies on standard input: nothing of theirs is ever parsed as a
            # command.
            subprocess.run(receiver.command, input=body, timeout=_COMMAND_S, check=True, capture_output=True)
    except httpx.HTTPError as error:
        # Its text may hold the address, which is a password for many chats.
        raise UnreachableError(f"{type(error).__name__} at {urlsplit(receiver.webhook or '').hostname}") from None
    except subprocess.TimeoutExpired:
        raise RefusedError(f"the command took longer than {_COMMAND_S:.0f} s") from None
    except subprocess.CalledProcessError as error:
        raise RefusedError(f"the command ended with status {error.returncode}") from None
    except OSError as error:
        raise UnreachableError(str(error)) from error


def _post(address: str, secret_file: str | None, body: bytes) -> None:
    headers = {"Content-Type": "application/json", **_sign(secret_file, body)}
    # No redirects, which is httpx's default: they could lead the body to an internal address. The answer's body is
    # not read: it may be endless.
    with httpx.stream("POST", address, content=body, headers=headers, timeout=_TIMEOUT_S) as answer:
        status = answer.status_code
    if 200 <= status < 300:
        return
    message = f"{urlsplit(address).hostname} answered {status}"
    raise UnreachableError(message) if status >= 500 or status in _LATER else RefusedError(message)


def _sign(secret_file: str | None, body: bytes) -> dict[str, str]:
    """Return the header that proves the sender and the time: `t=SECONDS,v1=HEX` over `SECONDS.BODY`."""
    if secret_file is None:
        return {}
    # Read each time, so that a changed secret needs no restart; editors end a file with a line feed.
    secret, at = Path(secret_file).read_bytes().strip(), str(int(time.time()))
    # The time is signed too, so that a receiver can refuse an old notification that is sent again.
    return {SIGNATURE: f"t={at},v1={hmac.new(secret, at.encode() + b'.' + body, hashlib.sha256).hexdigest()}"}
