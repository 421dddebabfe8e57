"""The service as a whole: one command that listens, starts studies, runs MLflow's UI and sends notifications.

All its state is below the home, so it can be killed and started again at any time.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pipelines.service.app import make_app
from pipelines.service.config import ServiceSpec
from pipelines.service.http.addresses import check_address, find_mlflow_url, list_hosts, make_url
from pipelines.service.http.http_server import ServiceServer, make_uvicorn_config
from pipelines.service.http.problem_pages import ProblemPages
from pipelines.service.http.security_middleware import MLFLOW, App, Receive, Scope, SecurityMiddleware, Send
from pipelines.service.http.stream_limit import StreamLimit
from pipelines.service.mlflow.notes import MlflowNotes
from pipelines.service.mlflow.proxy import MlflowProxy, make_server_client, make_socket_client
from pipelines.service.mlflow.study_links import MlflowPages, make_external_client
from pipelines.service.monitoring.audit_recorder import AuditRecorder
from pipelines.service.monitoring.logs import log_service
from pipelines.service.monitoring.monitors import make_monitors
from pipelines.service.monitoring.request_recorder import RequestRecorder
from pipelines.service.notifications.sender import Notifier
from pipelines.service.sign_in.callers import make_callers
from pipelines.service.studies.housekeeping import Housekeeper
from pipelines.service.studies.model_service import ModelService
from pipelines.service.studies.ownership import Ownership
from pipelines.service.studies.study_service import StudyService
from pipelines.service.supervisors.supervising_host import open_home
from pipelines.service.supervisors.supervisor_pool import SupervisorPool
from pipelines.service.supervisors.supervisor_process import STORE_PATIENCE_S
from pipelines.service.supervisors.upkeep import HostPresence, UpkeepThread
from pipelines.workspace.home import Home
from search_spaces.errors import KerastudyError
from tracking.mlflow.server import MlflowServer
from tracking.mlflow.urls import find_external_server
from tracking.store.accounts import Accounts
from tracking.store.audit import AuditLog
from tracking.store.database import Store
from tracking.store.tokens import Tokens

FIRST_TOKEN = "admin"


def serve(home: Home, spec: ServiceSpec, print_line: Callable[[str], None]) -> None:
    """Serve a home until SIGINT or SIGTERM; studies that run then are put back into the queue.

    Args:
        home: holds all state.
        spec: the operator's settings.
        print_line: prints a line for the operator; called once the service listens.

    Raises:
        InputError: if the address is public and neither the service nor a proxy uses TLS.
        KerastudyError: if the home is served already, or the address is taken.
    """
    check_address(spec)
    with ExitStack() as stack:
        # Before the store is opened: a second service would start the same studies again.
        stack.enter_context(_lock_home(home))
        stack.enter_context(log_service(home.folder, spec.logs))
        store = stack.enter_context(Store.open(home.store, patience_s=STORE_PATIENCE_S))
        if "://" in home.store:
            open_home(home, store)
        supervisors = SupervisorPool(home, store, spec.studies, spec.study_limits)
        studies, models = StudyService(home, store, spec, supervisors), ModelService(home, store, spec)
        streams = StreamLimit(most_each=spec.ceilings.followers)
        mlflow, proxy, mlflow_url = _prepare_mlflow(stack, home, spec, studies, store)
        monitors = make_monitors(home, store, supervisors, streams, models, mlflow)
        callers = make_callers(store, spec)
        app = _combine_apps(make_app(studies, models, streams, store, monitors, callers), proxy)
        app = ProblemPages(AuditRecorder(app, AuditLog(store)))
        secured = SecurityMiddleware(app, callers, list_hosts(spec), spec.uploads)

        def end_long_requests() -> None:
            streams.are_open = False
            models.stop()

        def print_start() -> None:
            _print_addresses(home, spec, mlflow_url, print_line)
            # Only once the service listens: a wrong port must not use up the one chance to see a token.
            _create_first_token(home, store, spec, print_line)
            print_line("Ctrl-C ends it; running studies go on after the next start.")

        recorded = RequestRecorder(secured, monitors.metrics.observe_request, is_logged=spec.logs.requests)
        server = ServiceServer(make_uvicorn_config(recorded, spec), print_start, end_long_requests)
        upkeep = UpkeepThread(supervisors, HostPresence(store, spec.studies), monitors.upkeep, mlflow)
        housekeeper = Housekeeper(home, store, spec.retention, spec.audit_age, models.end_idle)
        notifier = Notifier(home, store, spec.notify, monitors.metrics.observe_event)
        with _ignore_signals():
            upkeep.start()
            notifier.start()
            housekeeper.start()
            try:
                server.run()
            finally:
                housekeeper.stop()
                notifier.stop()
                upkeep.stop()
    if not server.started:
        raise KerastudyError(f"cannot listen on {spec.host}:{spec.port}: choose another --port")


def _prepare_mlflow(
    stack: ExitStack, home: Home, spec: ServiceSpec, studies: StudyService, store: Store
) -> tuple[MlflowServer | None, MlflowProxy, str]:
    """Return the MLflow server of the service, where it runs one, the proxy of MLflow, and its URL elsewhere."""
    external = find_external_server(home.folder, os.environ)
    mlflow_url = find_mlflow_url(spec, external)
    mlflow, client, pages, notes = None, None, None, None
    if external and spec.mlflow_below:
        mlflow_url = ""  # as of the service's server: browsers reach it here
        client = make_server_client(external)
        pages = MlflowPages(studies.reader, client, MLFLOW)
        notes = MlflowNotes(studies.reader, Ownership(store), client, store.identity)
    elif external:
        pages = MlflowPages(studies.reader, make_external_client(external), mlflow_url)
    elif spec.mlflow:
        socket = Path(stack.enter_context(_make_private_folder())) / "mlflow"
        mlflow = MlflowServer(home.folder, os.environ, socket, MLFLOW)
        client = make_socket_client(socket)
        pages = MlflowPages(studies.reader, client, MLFLOW)
        notes = MlflowNotes(studies.reader, Ownership(store), client, store.identity)
    elsewhere = f"MLflow is at {mlflow_url}" if mlflow_url else "this service runs no MLflow UI"
    return mlflow, MlflowProxy(client, pages, elsewhere, notes), mlflow_url


@contextmanager
def _lock_home(home: Home) -> Iterator[None]:
    """Hold the home's lock, so that no second service serves it."""
    home.folder.mkdir(parents=True, exist_ok=True)
    # "a+" keeps the number of the process that holds the lock. The system drops the lock at a kill.
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
    async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        is_mlflow = scope["type"] == "http" and (path == MLFLOW or path.startswith(f"{MLFLOW}/"))
        await (proxy if is_mlflow else api)(scope, receive, send)

    return dispatch


@contextmanager
def _ignore_signals() -> Iterator[None]:
    """Ignore SIGINT and SIGTERM: uvicorn raises them again once it has ended, while there is work left to do."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    # Not SIG_IGN, which the processes that are started here would inherit.
    before = {number: signal.signal(number, lambda *_: None) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _print_addresses(home: Home, spec: ServiceSpec, mlflow_url: str, print_line: Callable[[str], None]) -> None:
    url = make_url(spec)
    print_line(f"kerastudy serves {home.folder}")
    if not spec.studies:
        print_line("  studies:   none run here (studies: 0); hosts with kerastudy supervise run them")
    print_line(f"  API:       {url}/docs")
    if mlflow_url:
        print_line(f"  MLflow UI: {mlflow_url}")
    elif spec.mlflow:
        print_line(f"  MLflow UI: {url}{MLFLOW}/   (sign in with your browser)")


def _create_first_token(home: Home, store: Store, spec: ServiceSpec, print_line: Callable[[str], None]) -> None:
    """Create an admin's token where there is no account, in a file that this user alone can read."""
    if Accounts(store).list():
        return
    file = home.folder / f"{FIRST_TOKEN}.token"
    # A kill before the next line loses it; `kerastudy --home FOLDER token create` makes another.
    token = Tokens(store).create(FIRST_TOKEN, "admin")
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as opened:
        opened.write(f"{token}\n")
    print_line(f"  first token, for an admin: in {file}")
    print_line(f"next, in another terminal: export KERASTUDY_URL={make_url(spec)}")
    print_line(f"                           kerastudy login --token-file {shlex.quote(str(file))}")
    print_line("                           kerastudy submit FILE")
