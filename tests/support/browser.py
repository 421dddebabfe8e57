"""A real Chromium: returns the text that it shows, and gives a name and a password to a site that requires them."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
_AUTH = {"response": "ProvideCredentials"}


class Browser:
    """One tab, spoken to by the DevTools protocol over a pair of pipes."""

    def __init__(self, commands: int, answers: int, password: tuple[str, str]) -> None:
        self._commands, self._answers = commands, answers
        self._password = dict(zip(("username", "password"), password, strict=True))
        self._numbers = itertools.count(1)
        self._read = b""
        self._session: dict[str, str] = {}
        tab = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = {"sessionId": self._ask("Target.attachToTarget", targetId=tab, flatten=True)["sessionId"]}
        self._ask("Fetch.enable", handleAuthRequests=True)

    def seen(self, address: str, *, wanted: str, seconds: float = 90.0) -> tuple[str, str]:
        """Open a page; return its address and its content once the content has what is wanted, or time is up."""
        self._ask("Page.navigate", url=address)
        deadline = time.monotonic() + seconds
        script = "JSON.stringify([location.href, document.documentElement.outerHTML])"
        while True:
            shown = self._ask("Runtime.evaluate", expression=script)["result"].get("value", '["", ""]')
            at, page = json.loads(shown)
            if wanted in page or time.monotonic() > deadline:
                return at, page
            time.sleep(0.3)

    def _ask(self, method: str, **params: Any) -> dict[str, Any]:
        number = self._send(method, **params)
        while True:
            message = self._next()
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            if message.get("method") == "Fetch.requestPaused":
                self._send("Fetch.continueRequest", requestId=message["params"]["requestId"])
            elif message.get("method") == "Fetch.authRequired":
                answer = {**_AUTH, **self._password}
                self._send(
                    "Fetch.continueWithAuth", requestId=message["params"]["requestId"], authChallengeResponse=answer
                )

    def _send(self, method: str, **params: Any) -> int:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params, **self._session}
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        return number

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._read:
            chunk = os.read(self._answers, 1 << 16)
            assert chunk, "the browser is gone"
            self._read += chunk
        message, _, self._read = self._read.partition(b"\0")
        return dict(json.loads(message))


@contextmanager
def browsing(scratch: Path, user: str, password: str) -> Iterator[Browser]:
    """Yield a browser that gives this name and password wherever a site requires them."""
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--window-size=2400,1200", "--remote-debugging-pipe"]
    command = [BROWSER, *options, f"--user-data-dir={scratch / 'browser'}", "about:blank"]

    def as_the_browser_expects() -> None:
        os.dup2(theirs_in, 3)
        os.dup2(theirs_out, 4)

    process = subprocess.Popen(
        command,
        preexec_fn=as_the_browser_expects,  # noqa: PLW1509  # system calls alone, which no thread's lock can stop
        pass_fds=(3, 4),
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        yield Browser(ours_out, ours_in, (user, password))
    finally:
        process.terminate()
        process.wait(30)
        os.close(ours_out)
        os.close(ours_in)
