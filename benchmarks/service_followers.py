"""Latency of short requests while clients follow studies: live ones, and slow ones that read a byte now and then.

    python benchmarks/service_followers.py [--live 200] [--slow 1000] [--requests 500]

The real command serves a new home on loopback. Live followers read the events of a study to which events are added all
the time, as a supervisor does. Slow ones request the same, read a byte every few seconds, and stay. Short requests go
on beside: list, show, health. The service's limit of followers refuses those that are too many, which is counted; they
keep their connections. Each figure is without followers, with the live ones, and with both.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import resource
import socket
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import numpy as np
import psutil
from service_load import serving

from pipelines.supervisor.event_log import record_events
from pipelines.supervisor.events import EpochEnded, TrialEnded
from pipelines.workspace.home import Home

WAITING = 'study: followed\ndata: {{source: "{loader}"}}\nmodel: mlp\n'
EVENTS_A_SECOND = 20


async def follow(port: int, token: str, status: Counter[str], *, is_slow: bool, ended: asyncio.Event) -> None:
    """Follow the study until the end; count the answers, and the bytes of live ones."""
    try:
        # A small buffer: the service notices that a slow client does not read.
        with socket.socket() as made:
            if is_slow:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            made.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(made, ("127.0.0.1", port))
            head = (
                f"GET /v1/studies/followed/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
            )
            await loop.sock_sendall(made, head.encode())
            first = await loop.sock_recv(made, 12)
            kind = "slow" if is_slow else "live"
            status[f"{kind} {first[9:12].decode()}"] += 1
            while not ended.is_set():
                if is_slow:
                    await asyncio.sleep(3)
                read = await asyncio.wait_for(loop.sock_recv(made, 1 if is_slow else 65536), 60)
                if not read:
                    status[f"{kind} ended"] += 1
                    return
                status[f"{kind} bytes"] += len(read)
    except (OSError, TimeoutError) as error:
        status[f"{'slow' if is_slow else 'live'} {type(error).__name__}"] += 1


async def measure(client: httpx.AsyncClient, requests: int) -> dict[str, dict[str, float]]:
    """Send short requests, one after the other; return milliseconds by quantile, and the failures."""
    rows = {}
    for name, path in (("list", "/v1/studies"), ("show", "/v1/studies/followed"), ("health", "/healthz")):
        took, failed = [], 0
        for _ in range(requests):
            began = time.perf_counter()
            with contextlib.suppress(httpx.HTTPError):
                answer = await client.get(path)
                failed += answer.status_code != 200
                took.append((time.perf_counter() - began) * 1000)
        p50, p99, most = np.quantile(took, [0.5, 0.99, 1.0]).round(1).tolist()
        rows[name] = {"p50": p50, "p99": p99, "most": most, "failed": failed + requests - len(took)}
    return rows


@contextlib.asynccontextmanager
async def writing(home: Home) -> AsyncIterator[None]:
    """Add events to the study, as a supervisor at work does."""

    async def write() -> None:
        def make() -> list[object]:
            return [EpochEnded(number, 1, 2, 0.5) for number in range(5)] + [
                TrialEnded(0, "complete", 0.5, "", 1.0, is_best=False)
            ]

        while True:
            list(record_events(home, "followed", make()))  # type: ignore[arg-type]
            await asyncio.sleep(len(make()) / EVENTS_A_SECOND)

    task = asyncio.create_task(write())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def run(options: argparse.Namespace, scratch: Path, port: int, token: str) -> dict[str, object]:
    """Measure in three steps; return the rows."""
    headers = {"Authorization": f"Bearer {token}"}
    service = next(
        process
        for process in psutil.process_iter(["cmdline"])
        if str(scratch / "home") in (process.info["cmdline"] or [])
    )
    rows: dict[str, object] = {}
    status: Counter[str] = Counter()
    ended = asyncio.Event()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as client:
        text = WAITING.format(loader=f"{scratch}/loader.py:wait")
        (await client.post("/v1/studies", content=text)).raise_for_status()
        await asyncio.sleep(12)  # starting takes all cores for seconds
        async with writing(Home.find(str(scratch / "home"), {})):
            tasks: list[asyncio.Task[None]] = []
            for name, live, slow in (("alone", 0, 0), ("live", options.live, 0), ("slow too", 0, options.slow)):
                tasks += [
                    asyncio.create_task(follow(port, token, status, is_slow=False, ended=ended)) for _ in range(live)
                ]
                tasks += [
                    asyncio.create_task(follow(port, token, status, is_slow=True, ended=ended)) for _ in range(slow)
                ]
                await asyncio.sleep(10)
                cpu = service.cpu_times()
                began = time.monotonic()
                rows[name] = await measure(client, options.requests)
                used = sum(service.cpu_times()[:2]) - sum(cpu[:2])
                rows[f"{name}: service"] = {
                    "cpu": round(used / (time.monotonic() - began), 2),
                    "mb": round(service.memory_info().rss / 1e6),
                    "fds": service.num_fds(),
                    **dict(status),
                }
            ended.set()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.sleep(8)
            rows["after"] = {"mb": round(service.memory_info().rss / 1e6), "fds": service.num_fds()}
    return rows


def main() -> None:
    """Measure and print the rows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--live", type=int, default=200)
    parser.add_argument("--slow", type=int, default=1000)
    parser.add_argument("--requests", type=int, default=500)
    options = parser.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with tempfile.TemporaryDirectory() as scratch, serving(Path(scratch), port) as token:
        rows = asyncio.run(run(options, Path(scratch), port, token))
    print(f"load {os.getloadavg()[0]:.1f}; milliseconds")
    for name, row in rows.items():
        print(f"{name}: {json.dumps(row)}")


if __name__ == "__main__":
    main()
