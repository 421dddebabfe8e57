"""Service in this process, on a real store and a real port, that starts no study."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from pipelines.service.app import make_app
from pipelines.service.config import ServiceSpec
from pipelines.service.http.http_server import ServiceServer, make_uvicorn_config
from pipelines.service.http.problem_pages import ProblemPages
from pipelines.service.http.security_middleware import SecurityMiddleware
from pipelines.service.http.stream_limit import StreamLimit
from pipelines.service.monitoring.audit_recorder import AuditRecorder
from pipelines.service.monitoring.monitors import Monitors, make_monitors
from pipelines.service.monitoring.request_recorder import RequestRecorder
from pipelines.service.sign_in.callers import make_callers
from pipelines.service.studies.model_service import ModelService
from pipelines.service.studies.study_service import StudyService
from pipelines.service.supervisors.supervisor_pool import SupervisorPool
from pipelines.workspace.home import Home
from tracking.store.audit import AuditLog
from tracking.store.database import Store
from tracking.store.tokens import Tokens

STUDY = """\
study: {name}
data: {{source: "sklearn:breast_cancer"}}
model: mlp
budget: {{trials: {trials}}}
"""
HOSTS = ("testserver", "127.0.0.1")


def study_text(name: str = "s", trials: int = 3) -> str:
    """Return a study file that needs no data of this machine."""
    return STUDY.format(name=name, trials=trials)


@dataclass
class RunningService:
    """A client of the service, and the parts behind it."""

    client: httpx.Client
    port: int
    home: Home
    store: Store
    study_service: StudyService
    models: ModelService
    supervisors: SupervisorPool
    streams: StreamLimit
    app: SecurityMiddleware
    monitors: Monitors

    def token(self, name: str, scope: str = "submit", running_trials: int | None = None) -> dict[str, str]:
        """Make a token; return the header that carries it."""
        return {"Authorization": f"Bearer {Tokens(self.store).create(name, scope, running_trials)}"}


@contextmanager
def run_service(folder: Path, **spec: object) -> Iterator[RunningService]:
    """Yield a service on a home below `folder`."""
    home = Home.find(str(folder / "home"), {})
    with Store.open(home.store) as store:
        chosen = ServiceSpec.model_validate(spec)
        supervisors, streams = (
            SupervisorPool(home, store, chosen.studies, chosen.study_limits),
            StreamLimit(most_each=chosen.ceilings.followers),
        )
        study_service = StudyService(home, store, chosen, supervisors)
        models = ModelService(home, store, chosen)
        monitors = make_monitors(home, store, supervisors, streams, models, None)
        callers = make_callers(store, chosen)
        api = make_app(study_service, models, streams, store, monitors, callers)
        recorded = ProblemPages(AuditRecorder(api, AuditLog(store)))
        app = SecurityMiddleware(recorded, callers, HOSTS, chosen.uploads)
        config = make_uvicorn_config(RequestRecorder(app, monitors.metrics.observe_request), chosen)
        config.port = 0
        server = ServiceServer(config, lambda: None, lambda: None)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
            try:
                parts = (study_service, models, supervisors, streams, app, monitors)
                yield RunningService(client, port, home, store, *parts)
            finally:
                server.should_exit = True
                server.force_exit = True
                thread.join()


def submit(service: RunningService, who: dict[str, str], text: str | bytes, **more: Any) -> httpx.Response:
    """Submit a study file with a token's header."""
    return service.client.post("/v1/studies", content=text, headers={**who, **more.pop("headers", {})}, **more)


def detail(answer: httpx.Response, status: int) -> dict[str, Any]:
    """Return a problem detail, having made sure that it is one."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert found["status"] == status
    assert found["title"]
    assert found["detail"]
    return found
