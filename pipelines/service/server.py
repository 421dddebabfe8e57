"""The service as a whole: one command that listens, begins studies, runs MLflow's UI and tells people.

Everything it knows is below the home, so it can be killed and started again at any time.
"""

from __future__ import annotations

import asyncio
import fcntl
import ipaddress
import logging
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from pipelines.service.app import make_app
from pipelines.service.config import LOCAL, ServiceSpec
from pipelines.service.mlflow_pages import MlflowPages, make_external_client
from pipelines.service.mlflow_proxy import MlflowProxy, make_socket_client
from pipelines.service.notifications import Notifier
from pipelines.service.security_middleware import MLFLOW, App, Receive, Scope, SecurityMiddleware, Send
from pipelines.service.stream_limit import StreamLimit
from pipelines.service.study_service import StudyService
from pipelines.service.supervisor_pool import SupervisorPool
from pipelines.workspace.home import Home
from search_spaces.errors import InputError, KerastudyError
from tracking.mlflow.server import MlflowServer, is_elsewhere
from tracking.store.database import Store
from tracking.store.tokens import Tokens

FIRST_TOKEN = "admin"
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""What listens at every address, and its loopback address."""

_STEP_S = 0.5
_HEADERS_S = 10.0
_IDLE_S = 30
_MOST_CONNECTIONS = 1000
_MOST_HEADER_BYTES = 32 * 1024
_LEAVING_S = 5
_log = logging.getLogger("kerastudy.service")


def serve(home: Home, spec: ServiceSpec, say: Callable[[str], None]) -> None:
    """Serve a home until SIGINT or SIGTERM; studies that run then are put back into the queue.

    Args:
        home: holds all state.
        spec: what the operator decided.
        say: takes the lines that tell a person where to look, once it listens.

    Raises:
        InputError: if the address is public and nothing in front of it speaks TLS.
        KerastudyError: if the home is served already, or the address is taken.
    """
    check_address(spec)
    with ExitStack() as stack:
        stack.enter_context(_lock_home(home))
        store = stack.enter_context(Store.open(home.store))
        supervisors = SupervisorPool(home, store, spec.studies, spec.workers)
        streams = StreamLimit()
        elsewhere = is_elsewhere(home.folder)
        study_service = StudyService(home, store, spec, supervisors)
        mlflow, own, pages = None, None, None
        seen = _find_mlflow_url(spec, elsewhere)
        if elsewhere:
            pages = MlflowPages(study_service.lookup, make_external_client(elsewhere), seen)
        elif spec.mlflow:
            socket = Path(stack.enter_context(_make_private_folder())) / "mlflow"
            mlflow = MlflowServer(home.folder, os.environ, socket, MLFLOW)
            own = make_socket_client(socket)
            pages = MlflowPages(study_service.lookup, own, MLFLOW)
        proxy = MlflowProxy(own, pages, f"MLflow is at {seen}" if elsewhere else "this service runs no MLflow UI")
        app = _combine_apps(make_app(study_service, store, streams), proxy)
        guard = SecurityMiddleware(app, Tokens(store), _list_hosts(spec), spec.uploads)
        keeper = _UpkeepThread(supervisors, mlflow)
        notices = Notifier(home, store, spec.notify)
        server = ServiceServer(
            make_uvicorn_config(guard, spec), streams, lambda: _print_addresses(home, store, spec, seen, say)
        )
        with _ignore_signals():
            keeper.start()
            notices.start()
            try:
                server.run()
            finally:
                notices.stop()
                keeper.stop()
    if not server.started:
        raise KerastudyError(f"cannot listen on {spec.host}:{spec.port}: choose another --port")


def check_address(spec: ServiceSpec) -> None:
    """Make sure that tokens do not cross a network in the clear.

    Raises:
        InputError: if others can reach the address and nothing speaks TLS.
    """
    if spec.host not in LOCAL and not _is_loopback(spec.host) and spec.tls is None and not spec.tls_in_front:
        raise InputError(
            f"{spec.host} can be reached from elsewhere, and tokens would cross the network in the clear: set `tls`, "
            "or, where a proxy in front speaks TLS, `tls_in_front: true` (--tls-in-front)"
        )


def make_url(spec: ServiceSpec) -> str:
    """Return where a client on this machine reaches a service, under a name that it answers to."""
    name = _ANYWHERE.get(spec.host, spec.host)
    host = f"[{name}]" if ":" in name else name
    return f"{'https' if spec.tls else 'http'}://{host}:{spec.port}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _list_hosts(spec: ServiceSpec) -> set[str]:
    return {*LOCAL, *spec.hosts, *(() if spec.host in _ANYWHERE else (spec.host,))}


@contextmanager
def _lock_home(home: Home) -> Iterator[None]:
    """Hold the home, so that no second service serves it."""
    home.folder.mkdir(parents=True, exist_ok=True)
    with (home.folder / "service.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            raise KerastudyError(
                f"{home.folder} is served already, by process {file.read().strip() or 'unknown'}"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


@contextmanager
def _make_private_folder() -> Iterator[str]:
    folder = tempfile.mkdtemp(prefix="kerastudy-")  # mode 0700, and a short path, as sockets need
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _combine_apps(api: App, proxy: MlflowProxy) -> App:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        below = scope["type"] == "http" and (path == MLFLOW or path.startswith(f"{MLFLOW}/"))
        await (proxy if below else api)(scope, receive, send)

    return app


def make_uvicorn_config(app: Any, spec: ServiceSpec) -> uvicorn.Config:
    """Return how the service listens."""
    return uvicorn.Config(
        app,
        host=spec.host,
        port=spec.port,
        http=HeaderTimeoutProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        # Of a proxy in front only the scheme would matter, and nothing here depends on it.
        proxy_headers=False,
        limit_concurrency=_MOST_CONNECTIONS,
        h11_max_incomplete_event_size=_MOST_HEADER_BYTES,
        timeout_keep_alive=_IDLE_S,
        timeout_graceful_shutdown=_LEAVING_S,
        ssl_certfile=spec.tls.certificate if spec.tls else None,
        ssl_keyfile=spec.tls.key if spec.tls else None,
    )


class HeaderTimeoutProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, with an end to its patience: a request's headers have ten seconds to arrive."""

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Take what has arrived; go on waiting if that is not a whole request's headers."""
        had = self.cycle
        super().data_received(data)
        if self.cycle is not had:
            self._stop_waiting()
        elif self._waiting is None and (had is None or had.response_complete):
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._waiting = self.loop.call_later(_HEADERS_S, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None


class ServiceServer(uvicorn.Server):
    """uvicorn's server, which ends streams when it is to end, and says when it listens."""

    def __init__(self, config: uvicorn.Config, streams: StreamLimit, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._streams = streams
        self._on_start = on_start

    async def startup(self, sockets: Any = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        if self.started:
            self._on_start()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end."""
        self._streams.are_open = False
        super().handle_exit(sig, frame)


class _UpkeepThread:
    """Begins studies when it is their turn, and keeps MLflow's UI up."""

    def __init__(self, supervisors: SupervisorPool, mlflow: MlflowServer | None) -> None:
        self._supervisors = supervisors
        self._mlflow = mlflow
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Put running studies back into the queue and end MLflow's UI."""
        self._ended.set()
        self._thread.join()
        self._supervisors.stop()
        if self._mlflow is not None:
            self._mlflow.stop()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self._supervisors.step()
                if self._mlflow is not None:
                    self._mlflow.keep_up()
            except Exception:  # a store that is away comes back
                _log.exception("a round of the service failed; the next one follows")
                self._ended.wait(5.0)
            self._ended.wait(_STEP_S)


@contextmanager
def _ignore_signals() -> Iterator[None]:
    """Hear nothing of the signals that uvicorn raises again once it has ended: there is work left to do."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *heard: None) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _find_mlflow_url(spec: ServiceSpec, elsewhere: str) -> str:
    """Return where browsers reach an MLflow elsewhere: its address without the password that may be in it."""
    if not elsewhere:
        return ""
    return spec.mlflow_url or str(httpx.URL(elsewhere).copy_with(userinfo=b""))


def _print_addresses(home: Home, store: Store, spec: ServiceSpec, elsewhere: str, say: Callable[[str], None]) -> None:
    base = make_url(spec)
    say(f"kerastudy serves {home.folder}")
    say(f"  API:       {base}/docs")
    if elsewhere or spec.mlflow:
        how = "" if elsewhere else "   (any user name; a token as password)"
        say(f"  MLflow UI: {elsewhere or f'{base}{MLFLOW}/'}{how}")
    tokens = Tokens(store)
    if not tokens.list():
        file = home.folder / f"{FIRST_TOKEN}.token"
        written = tokens.create(FIRST_TOKEN, "admin")
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as opened:
            opened.write(f"{written}\n")
        say(f"  first token, for an admin: in {file}")
        say(f"next, in another terminal: export KERASTUDY_URL={base}")
        say(f"                           kerastudy login --token-file {file}")
        say("                           kerastudy submit FILE")
    say("Ctrl-C ends it; running studies go on after the next start.")
