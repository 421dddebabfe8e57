"""MLflow's web UI on a home, as a child process that ends with us, and the addresses worth opening."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from search_spaces.errors import KerastudyError
from tracking.mlflow import urls

_LOG_NAME: Final = "mlflow-ui.log"
_ENDS_WITH_ITS_PIPE: Final = """
exec 3<&0
"$@" </dev/null 3<&- & server=$!
{ read -r _ <&3; kill -TERM 0; } &
trap : TERM
wait "$server"; wait "$server"
"""


@dataclass(frozen=True)
class Board:
    """Where a study is seen."""

    study: str
    leaderboard: str
    run: str


@contextmanager
def serve(
    home: Path, environ: Mapping[str, str], *, host: str = "127.0.0.1", port: int = 5000, wait_s: float = 120.0
) -> Iterator[str]:
    """Run MLflow's UI on the home's database and yield its address; a server that is set is only named.

    Args:
        home: the home whose studies are shown.
        environ: `MLFLOW_TRACKING_URI` in it may name a running server, or another database.
        host: address to listen on.
        port: the port to try first; a free one is taken if it is in use.
        wait_s: how long the server may take to answer.

    Raises:
        KerastudyError: if the server ends or does not answer in time; names its log.
    """
    tracking_uri = urls.resolve(home, environ)
    if tracking_uri.startswith(("http://", "https://")):
        yield tracking_uri
        return
    home.mkdir(parents=True, exist_ok=True)
    chosen = _free_port(host, port)
    command = server_command(tracking_uri, urls.home_artifacts(home), host, chosen)
    log = home / _LOG_NAME
    with log.open("wb") as output:
        child = start_server(command, output, environ)
        try:
            _wait_until_healthy(child, host, chosen, wait_s, log)
            yield f"http://{host}:{chosen}"
        finally:
            end_group(child)


def boards(tracking_uri: str, base: str) -> tuple[Board, ...]:
    """Return where each study in MLflow is seen, newest first.

    Args:
        tracking_uri: see `tracking.mlflow.urls.resolve`.
        base: MLflow's address in a browser, as `serve` yields it.
    """
    from tracking.mlflow import client as mlflow_connection
    from tracking.mlflow import shared_views

    client = mlflow_connection.connect(tracking_uri)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    if not experiments:
        return ()
    runs = client.search_runs(experiments, filter_string="tags.`kerastudy.kind` = 'study'", max_results=1000)
    found = []
    for run in runs:
        study, experiment_id = run.data.tags["kerastudy.study"], run.info.experiment_id
        leaderboard = urls.leaderboard_url(base, experiment_id, shared_views.leaderboard_view(study))
        found.append(Board(study, leaderboard, urls.run_url(base, experiment_id, run.info.run_id)))
    return tuple(found)


def _free_port(host: str, preferred: int) -> int:
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise KerastudyError(f"cannot listen on {host}: no free port; choose another host")


def server_command(tracking_uri: str, artifacts: Path, host: str, port: int) -> list[str]:
    """Return the command that starts MLflow's server with one worker process."""
    options = {
        "--backend-store-uri": tracking_uri,
        "--artifacts-destination": str(artifacts),
        "--host": host,
        "--port": str(port),
        "--workers": "1",
    }
    return [sys.executable, "-m", "mlflow", "server", *(part for option in options.items() for part in option)]


def start_server(command: Sequence[str], output: IO[bytes], environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start MLflow's server in a session of its own: Ctrl-C reaches us alone, and we end it with all its processes.

    Should we be killed before we can, the pipe that we hold closes, and whoever reads it ends the session.
    """
    return subprocess.Popen(
        ["/bin/sh", "-c", _ENDS_WITH_ITS_PIPE, "sh", *command],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=server_environ(environ),
        start_new_session=True,
    )


def server_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of MLflow's server."""
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    # The server would take a tracking URI of its own surroundings for a second backend.
    merged = {**os.environ, **environ, **quiet, "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}
    return {name: value for name, value in merged.items() if name != "MLFLOW_TRACKING_URI"}


def _wait_until_healthy(child: subprocess.Popen[bytes], host: str, port: int, wait_s: float, log: Path) -> None:
    deadline = time.monotonic() + wait_s
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise KerastudyError(f"MLflow's server ended at once (exit code {child.returncode}); its log is {log}")
        if _is_healthy(host, port):
            return
        time.sleep(0.2)
    raise KerastudyError(f"MLflow's server did not answer within {wait_s:g} s; its log is {log}")


def _is_healthy(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def end_group(child: subprocess.Popen[bytes]) -> None:
    """End a server with all its processes, whether it wants to or not."""
    for stop in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, stop)
        except ProcessLookupError:
            break
        try:
            child.wait(timeout=10)
        except subprocess.TimeoutExpired:
            continue
    child.wait()
    if child.stdin is not None:
        child.stdin.close()
