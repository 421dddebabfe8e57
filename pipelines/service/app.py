"""HTTP application of the service: addresses, status codes and JSON, with no logic of its own.

Every answer that is no success is a problem detail (RFC 9457) whose `errors` hold what the command line would print.
Tokens, hosts and limits are checked before a request arrives here; see `service.security_middleware`.
"""

from __future__ import annotations

import importlib.metadata
import os

from fastapi import Depends, FastAPI
from fastapi_swagger import patch_fastapi

from pipelines.service.http.addresses import find_mlflow_url
from pipelines.service.http.head_requests import HeadRequests
from pipelines.service.http.hidden_paths import PathFilter
from pipelines.service.http.openapi import add_study_file
from pipelines.service.http.security_middleware import MLFLOW
from pipelines.service.http.stream_limit import StreamLimit
from pipelines.service.monitoring.monitors import Monitors
from pipelines.service.routes.accounts import make_account_router
from pipelines.service.routes.audit import make_audit_router
from pipelines.service.routes.control import make_control_router
from pipelines.service.routes.home import make_home_router
from pipelines.service.routes.life_cycle import make_life_cycle_router
from pipelines.service.routes.models import make_model_router
from pipelines.service.routes.parameters import refuse_unknown_parameters
from pipelines.service.routes.problem_pages import make_problem_router
from pipelines.service.routes.problems import RESPONSES, add_error_handlers
from pipelines.service.routes.registered_models import make_registered_model_router
from pipelines.service.routes.reports import make_report_router
from pipelines.service.routes.sign_in import make_sign_in_router
from pipelines.service.routes.streams import make_stream_router
from pipelines.service.routes.studies import make_study_router, make_trial_router
from pipelines.service.routes.tokens import make_own_router, make_token_router
from pipelines.service.routes.upkeep import make_upkeep_router
from pipelines.service.routes.uploads import make_upload_router
from pipelines.service.sign_in.attempts import SignIn
from pipelines.service.sign_in.callers import Callers
from pipelines.service.studies.model_service import ModelService
from pipelines.service.studies.registered_models import RegisteredModels
from pipelines.service.studies.study_service import StudyService
from tracking.mlflow.urls import find_external_server
from tracking.store.accounts import Accounts
from tracking.store.audit import AuditLog
from tracking.store.database import Store
from tracking.store.tokens import Tokens


def make_app(
    studies: StudyService,
    models: ModelService,
    streams: StreamLimit,
    store: Store,
    monitors: Monitors,
    callers: Callers,
) -> FastAPI:
    """Return the application.

    Args:
        studies: submits, lists, shows and controls studies.
        models: exports, promotes and compares models, and predicts with them.
        streams: limits how many clients follow events and logs.
        store: holds the tokens.
        monitors: what monitors read.
        callers: knows the tokens and sessions.
    """
    tokens, spec = Tokens(store), studies.spec
    sign_in = SignIn(store, callers, spec.sign_in)
    version = importlib.metadata.version("kerastudy")
    app = FastAPI(
        title="kerastudy",
        version=version,
        description="Submit studies, watch their trials, export the best model, and predict with it.",
        # FastAPI's pages would load scripts from a content network; `patch_fastapi` below replaces them.
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        responses=RESPONSES,
        # Its defence is against forged requests of web pages; `SecurityMiddleware` refuses those on every route.
        strict_content_type=False,
        dependencies=[Depends(refuse_unknown_parameters)],
    )
    describe = app.openapi
    app.openapi = lambda: add_study_file(describe())  # type: ignore[method-assign]  # FastAPI's way to add to it
    add_error_handlers(app)
    for router in (
        make_study_router(studies),
        make_trial_router(studies),
        make_report_router(studies, models),
        make_upload_router(studies.uploads),
        make_control_router(studies),
        make_life_cycle_router(studies.life_cycle, studies.quotas, studies.versions, models),
        make_stream_router(studies, streams, callers),
        make_model_router(models, studies.hidden_paths),
        make_registered_model_router(RegisteredModels(store)),
        make_token_router(tokens, spec.token_lifetime),
        make_own_router(tokens, Accounts(store), spec.token_lifetime),
        make_account_router(store),
        make_audit_router(AuditLog(store)),
        make_upkeep_router(monitors, store, version),
        make_problem_router(),
        make_sign_in_router(sign_in, callers),
        make_home_router(store, sign_in, _find_mlflow(studies), spec.token_lifetime),
    ):
        app.include_router(router)
    app.add_middleware(PathFilter, paths=studies.hidden_paths)
    app.add_middleware(HeadRequests)
    patch_fastapi(
        app, title="kerastudy", redirect_from_root_to_docs=False
    )  # its pages come from this machine, and not from a content network
    return app


def _find_mlflow(studies: StudyService) -> str:
    """Return the address of MLflow's UI for browsers; empty if there is none."""
    external = find_external_server(studies.home.folder, os.environ)
    if external and not studies.spec.mlflow_below:
        return find_mlflow_url(studies.spec, external)
    return f"{MLFLOW}/" if external or studies.spec.mlflow else ""
