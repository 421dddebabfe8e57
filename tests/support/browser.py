"""A real Chromium: signs in to a service, returns the text that it shows, and takes pictures of pages."""

from __future__ import annotations

import base64
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


def keep_picture(file: Path) -> None:
    """Copy a picture to the folder that `KERASTUDY_TEST_PICTURES` names, for people to look at."""
    if folder := os.environ.get("KERASTUDY_TEST_PICTURES"):
        shutil.copy(file, folder)


class Browser:
    """One tab, spoken to by the DevTools protocol over a pair of pipes."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers = commands, answers
        self._numbers = itertools.count(1)
        self._read = b""
        self._session: dict[str, str] = {}
        tab = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = {"sessionId": self._ask("Target.attachToTarget", targetId=tab, flatten=True)["sessionId"]}

    def seen(self, address: str, *, wanted: str, seconds: float = 90.0) -> tuple[str, str]:
        """Open a page; return its address and its content once the content has what is wanted, or time is up."""
        self._ask("Page.navigate", url=address)
        return self._wait(wanted, seconds)

    def _wait(self, wanted: str, seconds: float) -> tuple[str, str]:
        deadline = time.monotonic() + seconds
        script = "JSON.stringify([location.href, document.documentElement.outerHTML, document.readyState])"
        while True:
            shown = self._ask("Runtime.evaluate", expression=script)["result"].get("value", '["", "", ""]')
            at, page, state = json.loads(shown)
            # While a page is read, its content ends where the parser is.
            if (wanted in page and state == "complete") or time.monotonic() > deadline:
                return at, page
            time.sleep(0.3)

    def read(self, address: str, *wanted: str, seconds: float = 90.0) -> str:
        """Open a page, and return its text once it has all that is wanted, or time is up."""
        self.seen("about:blank", wanted="")  # a page of one script keeps its content while only its fragment changes
        self._ask("Page.navigate", url=address)
        deadline = time.monotonic() + seconds
        while True:
            text = str(self.run("document.body ? document.body.innerText : ''"))
            if all(each in text for each in wanted) or time.monotonic() > deadline:
                return text
            time.sleep(0.3)

    def sign_in(self, address: str, token: str, *, wanted: str) -> tuple[str, str]:
        """Open a page, give a token on the sign-in page that comes instead, and return what is shown then."""
        self.seen(address, wanted='id="token"')
        script = "const field = document.getElementById('token'); field.value = '%s'; field.form.requestSubmit()"
        self._ask("Runtime.evaluate", expression=script % token)
        return self._wait(wanted, 90.0)

    def run(self, script: str) -> Any:
        """Return the value of a script in the page; what it raises is an error here."""
        found = self._ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def resize(self, width: int, height: int = 900) -> None:
        """Show pages in a window of this size."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self._ask("Emulation.setDeviceMetricsOverride", **size)

    def print_as_seen(self, *, dark: bool = False) -> None:
        """Show pages as a printer would, on a machine with light or dark colours."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self._ask("Emulation.setEmulatedMedia", media="print", features=scheme)

    def picture(self, file: Path, width: int, *, dark: bool) -> None:
        """Write a picture of the whole page, at a width, in light or dark colours, into a PNG file."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self._ask("Emulation.setEmulatedMedia", features=scheme)
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self._ask("Emulation.setDeviceMetricsOverride", **size)
        taken = self._ask("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(taken["data"]))

    def _ask(self, method: str, **params: Any) -> dict[str, Any]:
        number = self._send(method, **params)
        while True:
            message = self._next()
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]

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
def browsing(scratch: Path) -> Iterator[Browser]:
    """Yield a browser with a profile of its own."""
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
        yield Browser(ours_out, ours_in)
    finally:
        process.terminate()
        process.wait(300)
        os.close(ours_out)
        os.close(ours_in)
