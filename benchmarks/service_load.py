"""Latency of a service with a thousand studies in its queue, and with a hundred slow clients beside.

    python benchmarks/service_load.py [--studies 1000] [--clients 8] [--requests 1000]

The real command serves a new home on loopback. Studies are submitted one after the other, each answer durable.
Then clients request the list, a page far down it, one study; one client, and several that send the next request as soon
as they get an answer. Last, the same with a hundred connections open that send a byte now and then. The service runs
one study at a time; the first one, which trains meanwhile, is part of the measurement. With --idle it waits in its
loader instead, and so do those behind it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np

STUDY = """\
study: {name}
data: {{source: "sklearn:breast_cancer"}}
model: mlp
budget: {{trials: 100}}
resources: {{workers: 1}}
"""
WAITING = """\
study: waiting
data: {{source: "{loader}"}}
model: mlp
"""
SLOW = 100


@contextlib.contextmanager
def serving(folder: Path, port: int) -> Iterator[str]:
    """Run the service; yield its first token."""
    loader = folder / "loader.py"
    loader.write_text("import time\n\ndef wait():\n    time.sleep(3600)\n")
    (folder / "service.yaml").write_text(f'port: {port}\nmlflow: false\ncode: ["{loader}:wait"]\n')
    command = [str(Path(sys.executable).with_name("kerastudy")), "--home", str(folder / "home"), "serve"]
    process = subprocess.Popen([*command, "--config", str(folder / "service.yaml")], stdout=subprocess.DEVNULL)
    try:
        while True:
            with contextlib.suppress(httpx.HTTPError):
                httpx.get(f"http://127.0.0.1:{port}/healthz")
                break
            time.sleep(0.1)
        yield (folder / "home" / "admin.token").read_text().strip()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(120)


@contextlib.contextmanager
def slow_clients(port: int, token: str) -> Iterator[None]:
    """Hold connections open that send a byte now and then; those that are ended are opened again."""
    ended = threading.Event()
    head = (
        f"POST /v1/studies HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Length: 900\r\n\r\n"
    )

    def dribble(number: int) -> None:
        while not ended.is_set():
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                connection.sendall(head.encode() if number % 2 else b"GET /v1/studies HT")
                while not ended.wait(0.5):
                    connection.sendall(b"x")

    threads = [threading.Thread(target=dribble, args=(number,)) for number in range(SLOW)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def measure(send: Callable[[int], httpx.Response], requests: int, clients: int) -> dict[str, float]:
    """Send so many requests from so many clients; return milliseconds by quantile, and answers a second."""
    took = []

    def one(number: int) -> None:
        began = time.perf_counter()
        send(number).raise_for_status()
        took.append(time.perf_counter() - began)

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(one, range(requests)))
    whole = time.perf_counter() - began
    quantiles = np.quantile(took, [0.5, 0.99, 1.0]) * 1000
    return {
        **dict(zip(("p50", "p99", "most"), quantiles.round(1).tolist(), strict=True)),
        "rate": round(requests / whole),
    }


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--idle", action="store_true", help="no study trains meanwhile")
    options = parser.parse_args()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    chance = random.Random(0)
    with tempfile.TemporaryDirectory() as scratch, serving(Path(scratch), port) as token:
        client = httpx.Client(
            base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {token}"}, timeout=60
        )
        if options.idle:
            waiting = WAITING.format(loader=f"{scratch}/loader.py:wait")
            client.post("/v1/studies", content=waiting).raise_for_status()
            time.sleep(20)  # starting takes all cores for seconds
        submit = lambda number: client.post("/v1/studies", content=STUDY.format(name=f"s{number:05d}"))  # noqa: E731
        rows = {"submit, 1 client": measure(submit, options.studies, 1)}
        any_study = lambda: f"s{chance.randrange(options.studies):05d}"  # noqa: E731
        requests: dict[str, Callable[[int], httpx.Response]] = {
            "list, 50 of them": lambda _: client.get("/v1/studies"),
            "list, 50 after any": lambda _: client.get("/v1/studies", params={"after": any_study()}),
            "show": lambda _: client.get(f"/v1/studies/{any_study()}"),
        }

        def measure_all(beside: str) -> None:
            for clients in (1, options.clients):
                for name, send in requests.items():
                    who = f"{clients} client{'s' * (clients > 1)}"
                    rows[f"{name}, {who}{beside}"] = measure(send, options.requests, clients)

        measure_all("")
        with slow_clients(port, token):
            time.sleep(2)
            measure_all(f", {SLOW} slow ones")
    print(f"{options.studies} studies, load {os.getloadavg()[0]:.1f}; milliseconds\n")
    print(f"| {'':<48} | {'p50':>7} | {'p99':>7} | {'most':>8} | {'a second':>8} |")
    print(f"|{'-' * 50}|{'-' * 8}:|{'-' * 8}:|{'-' * 9}:|{'-' * 9}:|")
    for name, row in rows.items():
        print(f"| {name:<48} | {row['p50']:>7} | {row['p99']:>7} | {row['most']:>8} | {row['rate']:>8} |")
    print(json.dumps(rows), file=sys.stderr)


if __name__ == "__main__":
    main()
