"""MLflow's server as a child that listens on a socket and is started again when it ends."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tracking.mlflow import urls
from tracking.mlflow.ui import end_group, server_command, start_server

_LOG_NAME: Final = "mlflow-server.log"
_LONGEST_PAUSE_S: Final = 60.0
_STEADY_S: Final = 60.0


class MlflowServer:
    """MLflow's UI and API on a home's database.

    Args:
        environ: `MLFLOW_TRACKING_URI` in it may name another database.
        socket: where it listens; nobody else may enter its folder.
        prefix: the path that its pages and its API lie below.
    """

    def __init__(self, home: Path, environ: Mapping[str, str], socket: Path, prefix: str) -> None:
        self._log = home / _LOG_NAME
        uri = urls.resolve(home, environ)
        listen = ["--uvicorn-opts", f"--uds {socket}", "--static-prefix", prefix]
        self._command = [*server_command(uri, urls.home_artifacts(home), "127.0.0.1", 0), *listen]
        self._environ = dict(environ)
        self._child: subprocess.Popen[bytes] | None = None
        self._began = 0.0
        self._failures = 0

    def keep_up(self) -> None:
        """Start it if it does not run; one that ends at once is started again later each time."""
        now = time.monotonic()
        if self._child is not None:
            if self._child.poll() is None:
                return
            self._failures = 0 if now - self._began > _STEADY_S else self._failures + 1
            end_group(self._child)
            self._child = None
        if self._began and now - self._began < min(_LONGEST_PAUSE_S, 2.0**self._failures):
            return
        self._began = now
        with self._log.open("ab") as output:
            self._child = start_server(self._command, output, self._environ)

    def stop(self) -> None:
        """End it."""
        if self._child is not None:
            end_group(self._child)
            self._child = None


def is_elsewhere(home: Path, environ: Mapping[str, str] = os.environ) -> str:
    """Return the address of the MLflow server that `MLFLOW_TRACKING_URI` names; empty where it names none."""
    uri = urls.resolve(home, environ)
    return uri if uri.startswith(("http://", "https://")) else ""
