"""A day of a busy service in minutes: thousands of small studies, submitted, run, archived and deleted.

    python benchmarks/service_day.py [--studies 5000] [--kept 200]

The service runs on a new home on loopback, with one change: the process of a study is a stand-in that trains nothing.
It claims the study and writes what a small study of two trials leaves, copied from one that really ran: its rows,
Optuna's rows, events, prepared data, models and reports. Clients submit studies over HTTP, archive each second one when
it has ended, and delete all but the newest. A row for each stretch shows the service's memory, descriptors and threads,
the files of the home, and milliseconds of requests. What grows although the home does not is a leak.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

STUDY = """\
study: {name}
data: {{source: "sklearn:breast_cancer"}}
model: mlp
budget: {{trials: 2}}
resources: {{workers: 1}}
"""
TEMPLATE = "template"
AT_ONCE = 32


class StandIn:
    """What a small study writes, written again under other names; it lives in a process of its own.

    Args:
        home: the service's home.
        template: the home in which a study has really run.
    """

    def __init__(self, home: Path, template: Path) -> None:
        from pipelines.workspace.home import Home
        from tracking.store.database import Store
        from tracking.store.study_queue import StudyQueue

        self._home = Home.find(str(home), {})
        self._store = Store.open(self._home.store)
        self._queue = StudyQueue(self._store)
        self._optuna = self._store.open_optuna_storage()
        self._folder = template / "studies" / TEMPLATE
        with Store.open(template) as store:
            self._record = StudyQueue(store).get(TEMPLATE)
        self._template_store = Store.open(template)
        self._template_optuna = self._template_store.open_optuna_storage()

    def run(self, name: str, lease_token: str) -> None:
        """Write one study, from the service's lease on it to its end."""
        import optuna

        from pipelines.supervisor.event_log import record_events
        from pipelines.supervisor.events import StudyEnded, TrialEnded
        from tracking.store.processes import identify_process

        lease = self._queue.claim(name, identify_process(), 60.0, after=lease_token)
        self._queue.set_state(name, "running")
        shutil.copytree(self._folder, self._home.locate_study(name), dirs_exist_ok=True)
        self._queue.amend(name, self._queue.get(name).document, self._record.digest)
        optuna.copy_study(
            from_study_name=TEMPLATE, from_storage=self._template_optuna, to_storage=self._optuna, to_study_name=name
        )
        trials = [TrialEnded(number, "complete", 0.9, "", 1.0, is_best=number == 0) for number in range(2)]
        counts = dict(self._record.counts)
        ended = StudyEnded(name, "finished", "2 trials", "val_accuracy", 0, 0.9, {}, counts, 2.0, 0, "")
        list(record_events(self._home, name, [*trials, ended]))
        self._queue.set_result(name, winner=0, best_value=0.9, counts=counts)
        self._queue.set_state(name, "finished", "2 trials")
        self._queue.release(lease)


def run_stand_in(home: Path, template: Path, connection: Connection) -> None:
    """Write each study that is named on a connection, and answer its name."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stand_in = StandIn(home, template)
    with contextlib.suppress(EOFError):
        while True:
            name, lease_token = connection.recv()
            stand_in.run(name, lease_token)
            connection.send(name)


class StandInHandle:
    """Handle of a study's process, as `SupervisorHandle` is, on the one process of the stand-in."""

    connection: Connection
    running: dict[str, threading.Event]

    def __init__(self, request: Any) -> None:
        self.log = Path(os.devnull)
        self._ended = self.running[request.study] = threading.Event()
        self.connection.send((request.study, request.lease))

    @property
    def has_ended(self) -> bool:
        """Whether the study has been written."""
        return self._ended.is_set()

    def describe_end(self) -> str:
        """Return how it ended."""
        return "ended"

    def take_failure(self) -> None:
        """Return no failure."""

    def terminate(self) -> None:
        """Do nothing: it ends within a moment."""

    def wait(self, timeout_s: float) -> bool:
        """Wait until the study has been written; return whether it came in time."""
        return self._ended.wait(timeout_s)

    def kill(self) -> None:
        """Do nothing: it ends within a moment."""

    def close(self) -> None:
        """Do nothing: the pipe is everybody's."""

    @classmethod
    def listen(cls) -> None:
        """Mark studies as ended as the stand-in answers them."""
        with contextlib.suppress(EOFError, OSError):
            while True:
                cls.running.pop(cls.connection.recv()).set()


def serve(home: Path, template: Path, port: int) -> None:
    """Serve a home, with the stand-in in the place of the processes of studies."""
    from pipelines.service.config import ServiceSpec
    from pipelines.service.server import serve as serve_home
    from pipelines.service.supervisors import supervisor_pool
    from pipelines.workspace.home import Home

    StandInHandle.connection, other = multiprocessing.get_context("spawn").Pipe()
    StandInHandle.running = {}
    process = multiprocessing.get_context("spawn").Process(
        target=run_stand_in, args=(home, template, other), daemon=True
    )
    process.start()
    threading.Thread(target=StandInHandle.listen, daemon=True).start()
    supervisor_pool.SupervisorHandle = StandInHandle  # type: ignore[assignment, attr-defined]
    spec = ServiceSpec.model_validate({"port": port, "mlflow": False, "studies": AT_ONCE})
    serve_home(Home.find(str(home), {}), spec, lambda line: None)


@contextlib.contextmanager
def serving(home: Path, template: Path, port: int) -> Iterator[tuple[psutil.Process, str]]:
    """Run the service in a process of its own; yield it with its first token."""
    command = [sys.executable, __file__, "--serve", str(home), str(template), str(port)]
    with (home.parent / "service.err").open("wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
    try:
        while True:
            if process.poll() is not None:
                raise RuntimeError(f"the service has ended: {(home.parent / 'service.err').read_text()}")
            with contextlib.suppress(httpx.HTTPError):
                httpx.get(f"http://127.0.0.1:{port}/healthz")
                break
            time.sleep(0.2)
        yield psutil.Process(process.pid), (home / "admin.token").read_text().strip()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(120)


def measure(send: Callable[[], httpx.Response], times: int = 20) -> float:
    """Return the median of milliseconds of a request."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        send().raise_for_status()
        took.append((time.perf_counter() - began) * 1000)
    return round(float(np.median(took)), 1)


class Day:
    """Clients of the service, and what they measure.

    Args:
        kept: how many studies stay; older ones are deleted.
    """

    def __init__(self, client: httpx.Client, service: psutil.Process, home: Path, kept: int) -> None:
        self._client = client
        self._service = service
        self._home = home
        self._kept = kept
        self._submitted = self._ended = self._deleted = 0

    def run_to(self, number: int) -> None:
        """Submit studies up to a number, and let them end; archive each second one, and delete the oldest."""
        while self._ended < number:
            while self._submitted < min(number, self._ended + 2 * AT_ONCE):
                text = STUDY.format(name=f"s{self._submitted:05d}")
                self._client.post("/v1/studies", content=text).raise_for_status()
                self._submitted += 1
            self._wait_for(self._ended)
            if self._ended % 2:
                self._client.post(f"/v1/studies/s{self._ended:05d}:archive").raise_for_status()
            self._ended += 1
            if self._ended - self._deleted > self._kept:
                self._client.delete(f"/v1/studies/s{self._deleted:05d}").raise_for_status()
                self._deleted += 1

    def _wait_for(self, number: int) -> None:
        deadline = time.monotonic() + 120
        while True:
            found = self._client.get(f"/v1/studies/s{number:05d}").raise_for_status().json()
            if found["state"] == "finished":
                return
            if time.monotonic() > deadline:
                raise RuntimeError(f"s{number:05d} has not ended: {found}")
            time.sleep(0.05)

    def describe(self) -> dict[str, float]:
        """Return what the service holds now, and how fast it answers."""
        memory = self._service.memory_info().rss
        last = f"/v1/studies/s{self._ended - 1:05d}"
        files = [file for file in self._home.rglob("*") if file.is_file()]
        database = self._home / "kerastudy.db"
        return {
            "studies": self._ended,
            "mb": round(memory / 1e6),
            "fds": self._service.num_fds(),
            "threads": self._service.num_threads(),
            "home_mb": round(sum(file.stat().st_size for file in files) / 1e6),
            "files": len(files),
            "store_mb": round(database.stat().st_size / 1e6, 1),
            "list_ms": measure(lambda: self._client.get("/v1/studies")),
            "show_ms": measure(lambda: self._client.get(last)),
            "trials_ms": measure(lambda: self._client.get(f"{last}/trials")),
            "metrics_ms": measure(lambda: self._client.get("/metrics"), 5),
            "ready_ms": measure(lambda: self._client.get("/readyz"), 5),
        }


def make_template(home: Path) -> None:
    """Run one small study for real."""
    file = home.parent / "template.yaml"
    file.write_text(STUDY.format(name=TEMPLATE))
    command = [str(Path(sys.executable).with_name("kerastudy")), "--home", str(home), "run", str(file)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (home / "studies" / TEMPLATE / "events.jsonl").unlink(missing_ok=True)


def main() -> None:
    """Run the day and print its rows."""
    if sys.argv[1:2] == ["--serve"]:
        serve(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--studies", type=int, default=5000)
    parser.add_argument("--kept", type=int, default=200)
    parser.add_argument("--every", type=int, default=500, help="studies between two rows")
    options = parser.parse_args()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with tempfile.TemporaryDirectory() as scratch:
        home, template = Path(scratch) / "home", Path(scratch) / TEMPLATE
        make_template(template)
        with serving(home, template, port) as (service, token):
            headers = {"Authorization": f"Bearer {token}"}
            client = httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=120, trust_env=False)
            day = Day(client, service, home, options.kept)
            for number in range(options.every, options.studies + 1, options.every):
                began = time.monotonic()
                day.run_to(number)
                row = {**day.describe(), "a_study_ms": round((time.monotonic() - began) / options.every * 1000)}
                print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
