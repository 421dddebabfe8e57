"""Latency of a registered model under load: `mlflow models serve`, with clients in a separate process.

    python benchmarks/served_model.py --home .kerastudy --model concrete-strength

Prints requests and rows a second, and the median, 99th percentile and slowest answer, for one client and for several.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from tracking.mlflow import client as mlflow_connection
from tracking.mlflow import urls


def main() -> None:
    """Serve a model, put it under load, and print how it did."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=Path(".kerastudy"))
    parser.add_argument("--model", required=True, help="registered model's name")
    parser.add_argument("--alias", default="champion")
    parser.add_argument("--seconds", type=float, default=10.0)
    given = parser.parse_args()
    uri = urls.resolve_tracking_uri(given.home, os.environ)
    row = _example(uri, given.model, given.alias)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", f"models:/{given.model}@{given.alias}"]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(
        command,
        env={
            **os.environ,
            "MLFLOW_TRACKING_URI": uri,
            "TF_CPP_MIN_LOG_LEVEL": "3",
            # MLflow starts uvicorn by its name.
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        began = time.monotonic()
        _wait(port, server)
        print(f"ready after {time.monotonic() - began:.1f} s")
        for clients, rows in ((1, 1), (8, 1), (8, 32)):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                measured = pool.apply(_load, (port, json.dumps(_body(row, rows)), clients, given.seconds))
            times, failures = measured
            ordered = sorted(times)
            p99 = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
            print(
                f"{clients} clients, {rows} rows a request: {len(times) / given.seconds:.0f} requests/s, "
                f"{rows * len(times) / given.seconds:.0f} rows/s, median {1000 * statistics.median(times):.1f} ms, "
                f"p99 {1000 * p99:.1f} ms, slowest {1000 * ordered[-1]:.1f} ms, {failures} failed"
            )
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def _example(uri: str, name: str, alias: str) -> dict[str, Any]:
    """Return the first row of the model's input example, by column."""
    import mlflow

    mlflow_connection.connect(uri)
    mlflow.set_tracking_uri(uri)
    loaded = mlflow.pyfunc.load_model(f"models:/{name}@{alias}")
    example = loaded.input_example
    frame = example if hasattr(example, "to_dict") else __import__("pandas").DataFrame(example)
    return dict(json.loads(frame.iloc[:1].to_json(orient="records"))[0])


def _body(row: dict[str, Any], rows: int) -> dict[str, Any]:
    return {"dataframe_records": [row] * rows}


def _wait(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/ping", timeout=2).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.2)
    raise SystemExit("the server did not answer in 120 s")


def _load(port: int, body: str, clients: int, seconds: float) -> tuple[list[float], int]:
    """Ask as fast as answers come, from so many clients; return how long each answer took, and how many failed."""

    def ask(_: int) -> tuple[list[float], int]:
        times, failures = [], 0
        headers = {"content-type": "application/json"}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, headers=headers) as client:
            client.post("/invocations", content=body)
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                began = time.perf_counter()
                failures += not client.post("/invocations", content=body).is_success
                times.append(time.perf_counter() - began)
        return times, failures

    with ThreadPoolExecutor(clients) as threads:
        each = list(threads.map(ask, range(clients)))
    return [t for times, _ in each for t in times], sum(failures for _, failures in each)


if __name__ == "__main__":
    main()
