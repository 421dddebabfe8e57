"""MLflow's own scoring server of a registered model."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
from command import environment

from tracking.mlflow import server


@contextmanager
def serve_model(model, tracking_uri, log):
    """Serve a model as a person would, and yield where."""
    port = server.find_free_port("127.0.0.1", 0)
    bin_folder = Path(sys.executable).parent
    command = [bin_folder / "mlflow", "models", "serve", "--model-uri", model, "--env-manager", "local"]
    environ = environment(MLFLOW_TRACKING_URI=tracking_uri, PATH=f"{bin_folder}{os.pathsep}{os.environ['PATH']}")
    with log.open("wb") as output:
        child = subprocess.Popen(
            [*command, "--port", str(port)], stdout=output, stderr=output, env=environ, start_new_session=True
        )
    address = f"http://127.0.0.1:{port}"
    try:
        while not answers(f"{address}/ping"):
            assert child.poll() is None, log.read_text()
            time.sleep(0.2)
        yield address
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def answers(address):
    try:
        return httpx.get(address, timeout=5).is_success
    except httpx.HTTPError:
        return False
