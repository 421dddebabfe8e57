"""`kerastudy serve` as a process, with a home, a data folder and an admin's token of its own."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.request import urlopen

import httpx
import psutil
from command import COMMAND, environment
from process_tree import find_descendants, is_kept_server
from small_studies import write_mixed_csv


def find_free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class ServiceProcess:
    """A service below a folder, started at once.

    Attributes:
        client: a client with the admin's token.
        output: file with all that the service printed, over all of its starts.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.home, self.port = folder, folder / "home", find_free_port()
        (folder / "data").mkdir()
        write_mixed_csv(folder / "data" / "mixed.csv")
        (folder / "service.yaml").write_text(f"port: {self.port}\ndata: [{folder / 'data'}]\nuploads: 1MB\n")
        self.url = f"http://127.0.0.1:{self.port}"
        self.output = folder / "service.out"
        self.start()
        self.token = (self.home / "admin.token").read_text().strip()
        self.client = httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {self.token}"}, timeout=120, trust_env=False
        )

    def start(self) -> None:
        """Start the service and wait until it answers."""
        with self.output.open("ab") as output:
            command = [COMMAND, "--home", self.home, "serve", "--config", self.folder / "service.yaml"]
            self.process = subprocess.Popen(command, stdout=output, stderr=output, env=environment())
        deadline = time.monotonic() + 60
        while True:
            with suppress(OSError), urlopen(f"{self.url}/healthz", timeout=2):
                return
            assert self.process.poll() is None, self.output.read_text()
            assert time.monotonic() < deadline, self.output.read_text()
            time.sleep(0.1)

    def end(self, number: int = signal.SIGTERM) -> int:
        """End the service by a signal, wait until all processes that it started are gone, and return its status.

        But for kept servers, which stay for the next service.
        """
        children = [child for child in find_descendants(self.process.pid) if not is_kept_server(child)]
        self.process.send_signal(number)
        status = self.process.wait(300)
        _, alive = psutil.wait_procs(children, timeout=300)
        assert alive == []
        return status

    def submit(self, text: str, **headers: str) -> str:
        """Submit a study file; return the study's name."""
        answer = self.client.post("/v1/studies", content=text, headers=headers)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["study"])

    def control(self, name: str, verb: str) -> str:
        """Pause, stop, cancel or resume a study; return its state then."""
        return str(self.client.post(f"/v1/studies/{name}:{verb}").json()["state"])

    def show(self, name: str) -> dict[str, object]:
        """Return what the service shows of a study."""
        return dict(self.client.get(f"/v1/studies/{name}").json())

    def wait(self, name: str, *states: str, seconds: float = 240) -> str:
        """Wait until a study is in one of the states; return it."""
        deadline = time.monotonic() + seconds
        while (state := str(self.show(name)["state"])) not in states:
            assert time.monotonic() < deadline, (name, state, self.output.read_text())
            time.sleep(0.1)
        return state


@contextmanager
def follow_events(service: ServiceProcess, name: str) -> Iterator[list[str]]:
    """Collect the kinds of a study's events; a broken stream is taken up after the last event that arrived."""
    events: list[str] = []
    last: list[str] = []
    ended = threading.Event()

    def follow() -> None:
        while not ended.is_set():
            header = {"Last-Event-ID": last[-1]} if last else {}
            with (
                suppress(httpx.HTTPError),
                service.client.stream(
                    "GET", f"/v1/studies/{name}/events", headers=header, timeout=httpx.Timeout(10, read=5)
                ) as stream,
            ):
                for line in stream.iter_lines():
                    if line.startswith("event: "):
                        events.append(line.removeprefix("event: "))
                    elif line.startswith("id: "):
                        last.append(line.removeprefix("id: "))
            ended.wait(0.1)

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        yield events
    finally:
        ended.set()
        thread.join(30)
