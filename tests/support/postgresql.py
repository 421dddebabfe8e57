"""Real PostgreSQL server from the distribution's packages, for the time of a test."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import sqlalchemy as sa

_USER = "kerastudy"
_WAIT_S = 60.0


def explain_unavailable() -> str:
    """Return why no server can be started here; empty where one can."""
    if _programs() is None:
        return "PostgreSQL's server is not installed: apt-get install postgresql"
    if os.geteuid() == 0 and _find_user() is None:
        return "root cannot run PostgreSQL, and there is no user postgres"
    return ""


class Server:
    """Server on a free port of the loopback address, which a test can restart; use it as a context manager.

    Args:
        durable: whether commits are synced to disk, which a test of anything but power cuts does without.

    Attributes:
        url: its URL without a database.
    """

    def __init__(self, *, durable: bool = False) -> None:
        self._durable, self._port = durable, _free_port()
        # Not below pytest's folder, which the server's user may not enter.
        self._folder = Path(tempfile.mkdtemp(prefix="kerastudy-postgresql-"))
        self.url = f"postgresql://{_USER}@127.0.0.1:{self._port}"

    def __enter__(self) -> Server:
        user, folder = _find_user(), self._folder
        if user is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
        options = ["--auth=trust", f"--username={_USER}", "--encoding=UTF8", "--locale=C", "--no-sync"]
        try:
            with (folder / "log").open("ab") as log:
                _run([self._find("initdb"), "-D", str(folder / "data"), *options], log, folder)
            self.start()
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop(signal.SIGQUIT)  # at once: its data goes too
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        settings: dict[str, object] = {
            "listen_addresses": "127.0.0.1", "port": self._port, "unix_socket_directories": "", "jit": "off"
        }  # fmt: skip
        settings |= {} if self._durable else {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as log:
            command = [self._find("postgres"), "-D", str(self._folder / "data"), *arguments]
            self._process = _start(command, log, self._folder)
        _wait_until_ready(self._process, self._port, self._folder / "log")

    def stop(self, how: int = signal.SIGINT) -> None:
        """Stop the server: SIGINT ends every connection, as `pg_ctl stop` does; after SIGQUIT `start` recovers."""
        self._process.send_signal(how)
        self._process.wait(timeout=_WAIT_S)

    @staticmethod
    def _find(program: str) -> str:
        folder = _programs()
        assert folder is not None
        return str(folder / program)


@contextmanager
def server(*, durable: bool = False) -> Iterator[str]:
    """Run a server and yield its URL without a database; see `Server`."""
    with Server(durable=durable) as running:
        yield running.url


def create_database(server_url: str) -> str:
    """Make an empty database and return its URL."""
    name = f"test_{uuid4().hex[:12]}"
    engine = sa.create_engine(_driver(f"{server_url}/postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return f"{server_url}/{name}"


def _driver(url: str) -> sa.URL:
    return sa.make_url(url).set(drivername="postgresql+psycopg2")


def _programs() -> Path | None:
    """Return the folder of the newest server's programs; Debian does not add it to PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda file: int(file.parts[4].split(".")[0]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).parent if on_path else None


def _find_user() -> pwd.struct_passwd | None:
    """Return the user for a server that root starts; None if this process is not root's."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return None


def _start(command: list[str], log: object, folder: Path) -> subprocess.Popen[bytes]:
    user = _find_user()
    rights = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    environment = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"}
    return subprocess.Popen(
        command, stdout=log, stderr=log, cwd=folder, env=environment, start_new_session=True, **rights
    )


def _run(command: list[str], log: object, folder: Path) -> None:
    status = _start(command, log, folder).wait(timeout=_WAIT_S)
    assert status == 0, (folder / "log").read_text()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    engine = sa.create_engine(_driver(f"postgresql://{_USER}@127.0.0.1:{port}/postgres"))
    deadline = time.monotonic() + _WAIT_S
    try:
        while True:
            try:
                engine.connect().close()
            except sa.exc.OperationalError:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
            else:
                return
    finally:
        engine.dispose()
