"""MLflow's server on a home's database, as a child process that ends with this one.

`serve` runs it for `kerastudy ui`; the service keeps it running as `MlflowServer`.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from search_spaces.errors import KerastudyError
from tracking.mlflow import urls

_LOG_NAME: Final = "mlflow-server.log"
_LONGEST_PAUSE_S: Final = 60.0
# A server that ran longer did not fail at its start.
_STEADY_S: Final = 60.0
# The shell reads a pipe that this process holds open. Should this process be killed, the pipe closes and the shell ends
# the server's whole session.
_END_WITH_PIPE: Final = """
exec 3<&0
"$@" </dev/null 3<&- & server=$!
{ read -r _ <&3; kill -TERM 0; } &
trap : TERM
wait "$server"; wait "$server"
"""


@contextmanager
def serve(
    home: Path, environ: Mapping[str, str], *, host: str = "127.0.0.1", port: int = 5000, wait_s: float = 120.0
) -> Iterator[str]:
    """Run MLflow's server while the context lasts, and yield its address; start none where an external one is set.

    Args:
        home: the home whose studies are shown.
        environ: `MLFLOW_TRACKING_URI` in it may name a running server, or another database.
        host: address to listen on.
        port: the port to try first; a free one is taken if it is in use.
        wait_s: how long the server may take to answer.

    Raises:
        KerastudyError: if the server ends or does not answer in time; names its log.
    """
    if external := urls.find_external_server(home, environ):
        yield external
        return
    home.mkdir(parents=True, exist_ok=True)
    chosen = find_free_port(host, port)
    log = home / _LOG_NAME
    with log.open("wb") as output:
        child = start_server(make_home_command(home, environ, host=host, port=chosen), output, environ)
        try:
            wait_until_healthy(child, host, chosen, wait_s, log)
            yield f"http://{host}:{chosen}"
        finally:
            end_server(child)


class MlflowServer:
    """MLflow's server on a socket, restarted when it ends.

    Args:
        home: the home whose studies are shown.
        environ: `MLFLOW_TRACKING_URI` in it may name another database.
        socket: the Unix socket to listen on, in a folder that no other user may enter.
        prefix: the path below which its pages and its API are served.
    """

    def __init__(self, home: Path, environ: Mapping[str, str], socket: Path, prefix: str) -> None:
        self._log = home / _LOG_NAME
        self._socket = socket
        listen = ["--uvicorn-opts", f"--uds {socket}", "--static-prefix", prefix]
        self._command = [*make_home_command(home, environ), *listen]
        self._environ = dict(environ)
        self._child: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._failures = 0

    def ensure_running(self) -> None:
        """Start the server if it does not run; after each start that fails at once, wait longer for the next."""
        now = time.monotonic()
        if self._child is not None:
            if self._child.poll() is None:
                return
            self._failures = 0 if now - self._started_at > _STEADY_S else self._failures + 1
            end_server(self._child)
            self._child = None
        # 2, 4, 8, ... seconds, so that a server that cannot start does not use up the CPU.
        if self._started_at and now - self._started_at < min(_LONGEST_PAUSE_S, 2.0**self._failures):
            return
        self._started_at = now
        with self._log.open("ab") as output:
            self._child = start_server(self._command, output, self._environ)

    @property
    def is_answering(self) -> bool:
        """Whether the server takes connections."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1.0)
            connection.connect(str(self._socket))
            return True
        return False

    def stop(self) -> None:
        """End the server."""
        if self._child is not None:
            end_server(self._child)
            self._child = None


def make_home_command(home: Path, environ: Mapping[str, str], *, host: str = "127.0.0.1", port: int = 0) -> list[str]:
    """Return the command that starts MLflow's server on a home's database."""
    return make_command(urls.resolve_tracking_uri(home, environ), urls.get_artifact_folder(home), host, port)


def make_command(tracking_uri: str, artifacts: Path, host: str, port: int) -> list[str]:
    """Return the command that starts MLflow's server with one worker process."""
    options = {
        "--backend-store-uri": tracking_uri,
        "--artifacts-destination": str(artifacts),
        "--host": host,
        "--port": str(port),
        # MLflow's default is 15 processes; one worker without job execution is two, of 490 MB in all.
        "--workers": "1",
    }
    return [sys.executable, "-m", "mlflow", "server", *(part for option in options.items() for part in option)]


def make_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of MLflow's server."""
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    quiet |= {"MLFLOW_ENABLE_AI_GATEWAY": "false", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}
    # Otherwise a file in the current folder could hide a library from Python, and again from uvicorn, which searches
    # its application's folder first.
    quiet |= {"PYTHONSAFEPATH": "1", "UVICORN_APP_DIR": sysconfig.get_paths()["stdlib"]}
    # The server would take a tracking URI in its environment for a second backend.
    merged = {**os.environ, **environ, **quiet}
    return {name: value for name, value in merged.items() if name != "MLFLOW_TRACKING_URI"}


def start_server(command: Sequence[str], output: IO[bytes], environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start MLflow's server in a new session: Ctrl-C reaches this process alone, which ends all the server's."""
    return subprocess.Popen(
        ["/bin/sh", "-c", _END_WITH_PIPE, "sh", *command],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=make_environ(environ),
        start_new_session=True,
    )


def end_server(child: subprocess.Popen[bytes]) -> None:
    """End a server with all its processes, by SIGTERM and, after ten seconds, by SIGKILL."""
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


def find_free_port(host: str, preferred: int) -> int:
    """Return the preferred port if it is free, otherwise another one."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            # Without it a port stays taken for a minute after a server on it ended.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise KerastudyError(f"cannot listen on {host}: no free port; choose another host")


def wait_until_healthy(child: subprocess.Popen[bytes], host: str, port: int, wait_s: float, log: Path) -> None:
    """Wait for the server's first answer.

    Raises:
        KerastudyError: if the server ends or does not answer in time.
    """
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
